package knock_test

import (
	"errors"
	"fmt"
	"log"
	"net/netip"

	"github.com/portknock/knock/pkg/knock"
)

// One side seals what it wants, the other opens what it saw.
func Example() {
	codec, err := knock.New(knock.Options{Passphrase: []byte("knock")})
	if err != nil {
		log.Fatal(err)
	}
	ports, err := codec.Seal(knock.Payload{
		IP:   netip.MustParseAddr("142.103.205.1"),
		Port: 22,
		Time: 15,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ports)

	payload, err := codec.Open(ports)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(payload)
	// Output:
	// [966 914 795 964 831 862 807 932]
	// open 142.103.205.1 port 22 for 15 min
}

// With the header, the same request is another sequence each time.
func ExampleNew_randomIV() {
	codec, err := knock.New(knock.Options{
		Passphrase: []byte("knock"),
		Header:     knock.HeaderRandomIV,
	})
	if err != nil {
		log.Fatal(err)
	}
	payload := knock.Payload{IP: netip.MustParseAddr("192.0.2.1"), Port: 22, Time: knock.Close}
	ports, err := codec.Seal(payload)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(codec.Len(), "knocks, beginning with", ports[:8])

	payload, err = codec.Open(ports)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(payload)
	// Output:
	// 24 knocks, beginning with [827 842 855 845 856 854 818 831]
	// close 192.0.2.1 port 22
}

// Reading knocks that an old client sent with an IV of 4 digits.
func ExampleNew_shortIV() {
	codec, err := knock.New(knock.Options{
		Passphrase: []byte("knock"),
		Header:     knock.HeaderRandomIV,
		IVLength:   4,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(codec.Open([]uint16{
		827, 842, 855, 845, 856, 854, 818, 831, // RandomIV
		802, 794, 796, 800, // 9137
		767, 851, 762, 822, 761, 930, 820, 947,
	}))
	// Output:
	// open 142.103.205.1 port 22 for 5 min <nil>
}

// A listener asks about every window of the ports it saw, and goes on.
func ExampleCodec_Open() {
	codec, err := knock.New(knock.Options{Passphrase: []byte("knock")})
	if err != nil {
		log.Fatal(err)
	}
	seen := []uint16{800, 801, 966, 914, 795, 964, 831, 862, 807, 932}
	for i := 0; i+codec.Len() <= len(seen); i++ {
		payload, err := codec.Open(seen[i : i+codec.Len()])
		switch {
		case err == nil:
			fmt.Println(i, payload)
		case errors.Is(err, knock.ErrPadding), errors.Is(err, knock.ErrPayload), errors.Is(err, knock.ErrChecksum):
			fmt.Println(i, "noise")
		default:
			log.Fatal(err)
		}
	}
	// Output:
	// 0 noise
	// 1 noise
	// 2 open 142.103.205.1 port 22 for 15 min
}

// Both sides may agree on other ports; a firewall has to log these.
func ExampleCodec_Ports() {
	codec, err := knock.New(knock.Options{Passphrase: []byte("knock"), PortMin: 40000})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(codec.Ports())
	// Output:
	// 40000 40255
}

func ExamplePayload_String() {
	p := knock.Payload{IP: netip.MustParseAddr("192.0.2.1"), Port: 22}
	for _, p.Time = range []uint8{15, knock.Forever, knock.Close} {
		fmt.Println(p)
	}
	// Output:
	// open 192.0.2.1 port 22 for 15 min
	// open 192.0.2.1 port 22 without time limit
	// close 192.0.2.1 port 22
}
