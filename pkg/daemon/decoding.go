package daemon

import (
	"io"
	"runtime"
	"time"

	"github.com/portknock/knock/pkg/config"
	"github.com/portknock/knock/pkg/packet"
	"github.com/portknock/knock/pkg/source"
)

// A decoding turns a log into blocks of packets, several at a time.
type decoding struct {
	blocks <-chan *block // in the order of the log, each decoded or about to be
	free   chan *block   // for those done with
	err    error         // of the reading, once blocks is closed
}

// A block is some lines of a log, and what they say.
type block struct {
	buffer  []byte // of source.BlockSize
	text    []byte // the lines, in buffer
	lines   uint64
	packets []packet.Packet
	decoded chan struct{} // gets a value when the block is decoded
}

// replayBoot stands for the instant that a log of an unknown machine counts its times since boot from.
var replayBoot = time.Unix(0, 0)

// startDecoding starts as many goroutines as there are processors, which end with the log; all blocks must be taken
// and given back. Lines without a stamp are of the time now.
func startDecoding(c *config.Daemon, in io.Reader, now time.Time) (*decoding, error) {
	workers := runtime.GOMAXPROCS(0)
	blocks, todo := make(chan *block, 2*workers), make(chan *block, 2*workers)
	d := &decoding{blocks: blocks, free: make(chan *block, 4*workers)}
	for range cap(d.free) {
		d.free <- &block{buffer: make([]byte, source.BlockSize), decoded: make(chan struct{}, 1)}
	}
	decoders := make([]*packet.Decoder, workers)
	for i := range decoders {
		var err error
		if decoders[i], err = newDecoder(c, replayBoot); err != nil {
			return nil, err
		}
	}
	for _, decoder := range decoders {
		go func() {
			for b := range todo {
				b.decode(decoder, now)
			}
		}()
	}
	go func() {
		defer close(blocks)
		defer close(todo)
		d.err = d.read(in, blocks, todo)
	}()
	return d, nil
}

// read sends each block to be decoded and, at the same time, to be waited for.
func (d *decoding) read(in io.Reader, blocks, todo chan<- *block) error {
	var filling []*block // the one in hand, and the one that begins with its rest
	buffer := func() []byte {
		b := <-d.free
		filling = append(filling, b)
		return b.buffer
	}
	return source.Blocks(in, buffer, func(text []byte) {
		b := filling[0]
		filling = filling[1:]
		b.text = text
		blocks <- b
		todo <- b
	})
}

// decode reads the packets out of b. A stamp without a year is the one nearest to 180 days ago: between a year ago and
// two days from now, for a clock that was fast.
func (b *block) decode(d *packet.Decoder, now time.Time) {
	middle := now.Add(-180 * 24 * time.Hour)
	b.lines, b.packets = 0, b.packets[:0]
	source.Lines(b.text, func(line []byte) {
		b.lines++
		pkt, err := d.Decode(line, middle)
		if err != nil {
			return
		}
		if pkt.At.IsZero() {
			pkt.At = now
		}
		b.packets = append(b.packets, pkt)
	})
	b.decoded <- struct{}{}
}
