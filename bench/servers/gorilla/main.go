// A hub as in the chat example of gorilla/websocket: a goroutine that knows the
// clients, and for each client a buffered channel and a goroutine that writes. A
// client whose channel is full misses the message, and stays. One message is one
// frame.
//
// With -prepared a broadcast is a PreparedMessage. The protocol on stdin and stdout
// is in bench/README.md.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/gorilla/websocket"
)

var upgrader = websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024}

func serve(hub *hub, queue int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			log.Println(err)
			return
		}
		c := &client{
			hub:  hub,
			conn: conn,
			send: make(chan message, queue),
			gone: make(chan struct{}),
		}
		hub.register <- c
		go c.writePump()
		go c.readPump()
	}
}

// readLines ends the process at the end of stdin, while a job runs, too.
func readLines(lines chan<- string) {
	scanner := bufio.NewScanner(os.Stdin)
	for scanner.Scan() && scanner.Text() != "quit" {
		lines <- scanner.Text()
	}
	os.Exit(0)
}

func main() {
	port := flag.Int("port", 0, "0: any that is free")
	queue := flag.Int("queue", 256, "messages that may wait for a client")
	prepared := flag.Bool("prepared", false, "broadcasts are framed once")
	flag.Parse()

	hub := newHub(newAcks())
	go hub.run()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(listener, serve(hub, *queue))
	fmt.Println("ready", listener.Addr().(*net.TCPAddr).Port)

	lines := make(chan string)
	go readLines(lines)
	jobs := &jobs{hub: hub, clock: newClock(), queue: *queue, prepared: *prepared}
	for line := range lines {
		text, err := json.Marshal(jobs.obey(line))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(text))
	}
}
