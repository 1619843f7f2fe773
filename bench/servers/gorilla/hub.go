package main

import (
	"sort"
	"time"

	"github.com/gorilla/websocket"
)

// Longer than any job, so that a client that does not read stays.
const writeWait = 2 * time.Minute

// message is what waits for a client: bytes, or a frame made of them once.
type message struct {
	data     []byte
	prepared *websocket.PreparedMessage
}

// round is a message for all clients, or, without one, a request for them.
type round struct {
	message message
	clients chan []*client
}

// client is what stands between the connection and the hub.
type client struct {
	hub    *hub
	number int // in the order of their coming
	conn   *websocket.Conn
	send   chan message
	gone   chan struct{}
}

// hub keeps the clients. All but the counters belongs to its goroutine; those are
// read after a round trip to it.
type hub struct {
	clients    map[*client]bool
	broadcast  chan round
	register   chan *client
	unregister chan *client
	acks       *acks

	came          int
	sent, refused int
}

func newHub(acks *acks) *hub {
	return &hub{
		clients:    make(map[*client]bool),
		broadcast:  make(chan round),
		register:   make(chan *client),
		unregister: make(chan *client),
		acks:       acks,
	}
}

func (h *hub) run() {
	for {
		select {
		case c := <-h.register:
			h.came++
			c.number = h.came
			h.clients[c] = true
		case c := <-h.unregister:
			delete(h.clients, c)
			close(c.gone)
		case r := <-h.broadcast:
			if r.clients != nil {
				r.clients <- h.list()
				continue
			}
			for c := range h.clients {
				if c.trySend(r.message) {
					h.sent++
				} else {
					h.refused++
				}
			}
		}
	}
}

func (h *hub) list() []*client {
	list := make([]*client, 0, len(h.clients))
	for c := range h.clients {
		list = append(list, c)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].number < list[j].number })
	return list
}

// snapshot returns the clients in the order of their coming, after all rounds
// that were handed over before.
func (h *hub) snapshot() []*client {
	reply := make(chan []*client)
	h.broadcast <- round{clients: reply}
	return <-reply
}

// trySend never waits: it is false when the client has no room.
func (c *client) trySend(m message) bool {
	select {
	case c.send <- m:
		return true
	default:
		return false
	}
}

func (c *client) readPump() {
	defer func() {
		c.hub.unregister <- c
		c.conn.Close()
	}()
	for {
		_, data, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		c.hub.acks.take(data)
	}
}

func (c *client) writePump() {
	defer c.conn.Close()
	for {
		select {
		case m := <-c.send:
			c.conn.SetWriteDeadline(time.Now().Add(writeWait))
			if c.write(m) != nil {
				return
			}
		case <-c.gone:
			return
		}
	}
}

func (c *client) write(m message) error {
	if m.prepared != nil {
		return c.conn.WritePreparedMessage(m.prepared)
	}
	return c.conn.WriteMessage(websocket.BinaryMessage, m.data)
}
