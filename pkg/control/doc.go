// Package control is the operator's door to a running daemon: what it can be
// asked (what is open, why an address is kept out, to close something), the
// socket on which it answers, the client that asks, the text that a person reads,
// and the metrics that Prometheus collects. It leaves to the daemon how the
// answers come about, and to the commands which question was meant.
//
// The language is HTTP with JSON, so that other programs can ask too:
//
//	curl --unix-socket SOCKET http://knockdaemon/status
//	curl --unix-socket SOCKET 'http://knockdaemon/why?address=203.0.113.7'
//	curl --unix-socket SOCKET -d '{"target": "203.0.113.7:22"}' http://knockdaemon/close
//	curl --unix-socket SOCKET http://knockdaemon/metrics
//
// The first three answer with a Status, a Why and a Closed, or with a status from
// 400 on and {"error": "…"}. Names of fields do not change; new ones may come.
package control
