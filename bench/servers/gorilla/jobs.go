package main

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/gorilla/websocket"
)

const (
	ackTimeout = 30 * time.Second
	maxBurst   = 200 // calls that are timed in one go
	stamp      = 16  // bytes of a message that are not filler
)

var errNoAck = errors.New("no ack")

// clock reads CLOCK_MONOTONIC, in nanoseconds.
type clock struct {
	start time.Time
	base  int64
}

func newClock() clock {
	var now syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&now)), 0)
	return clock{time.Now(), now.Nano()}
}

func (c clock) now() int64 {
	return c.base + int64(time.Since(c.start))
}

// acks knows how many rounds have arrived, as the load client says.
type acks struct {
	sent, complete atomic.Uint64
	changed        chan struct{}
}

func newAcks() *acks {
	return &acks{changed: make(chan struct{}, 1)}
}

func (a *acks) reset() {
	a.sent.Store(0)
	a.complete.Store(0)
}

// take is called by the goroutine of the one client that sends acks. One of an
// earlier job is left.
func (a *acks) take(data []byte) {
	if len(data) != 8 {
		return
	}
	complete := binary.LittleEndian.Uint64(data)
	if complete > a.sent.Load() || complete <= a.complete.Load() {
		return
	}
	a.complete.Store(complete)
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// before waits until this round may be sent.
func (a *acks) before(number, window uint64) error {
	a.sent.Store(number)
	for a.complete.Load()+window < number {
		select {
		case <-a.changed:
		case <-time.After(ackTimeout):
			return errNoAck
		}
	}
	return nil
}

// pace says when a round may be sent: it returns then.
type pace func(number uint64) error

type answer map[string]any

type jobs struct {
	hub      *hub
	clock    clock
	queue    int
	prepared bool
}

func (j *jobs) payload(number uint64, size int) []byte {
	data := make([]byte, size)
	binary.LittleEndian.PutUint64(data, number)
	binary.LittleEndian.PutUint64(data[8:], uint64(j.clock.now()))
	for i := stamp; i < size; i++ {
		data[i] = 'x'
	}
	return data
}

// atTimes is an absolute schedule.
func atTimes(interval time.Duration) pace {
	var start time.Time
	return func(number uint64) error {
		if number == 1 {
			start = time.Now()
		}
		time.Sleep(time.Until(start.Add(time.Duration(number-1) * interval)))
		return nil
	}
}

// withAcks has at most window rounds in flight.
func (j *jobs) withAcks(window uint64) pace {
	j.hub.acks.reset()
	return func(number uint64) error { return j.hub.acks.before(number, window) }
}

// forRounds does one hand-over after the other.
func (j *jobs) forRounds(rounds uint64, pace pace, send func(number uint64)) answer {
	var begin, end int64
	for number := uint64(1); number <= rounds; number++ {
		if err := pace(number); err != nil {
			return answer{"error": err.Error()}
		}
		if number == 1 {
			begin = j.clock.now()
		}
		send(number)
		end = j.clock.now()
	}
	return answer{"rounds": rounds, "wall_ns": end - begin}
}

func (j *jobs) toAll(rounds uint64, pace pace, size int) answer {
	j.hub.snapshot()
	sent, refused := j.hub.sent, j.hub.refused
	result := j.forRounds(rounds, pace, func(number uint64) {
		m := message{data: j.payload(number, size)}
		if j.prepared {
			m.prepared, _ = websocket.NewPreparedMessage(websocket.BinaryMessage, m.data)
		}
		j.hub.broadcast <- round{message: m}
	})
	j.hub.snapshot()
	result["sent"] = j.hub.sent - sent
	result["refused"] = j.hub.refused - refused
	return result
}

func (j *jobs) toEach(rounds uint64, pace pace, size int, count int) answer {
	clients := j.hub.snapshot()
	if count < len(clients) {
		clients = clients[:count]
	}
	sent, refused := 0, 0
	result := j.forRounds(rounds, pace, func(number uint64) {
		for _, c := range clients {
			if c.trySend(message{data: j.payload(number, size)}) {
				sent++
			} else {
				refused++
			}
		}
	})
	result["sent"], result["refused"] = sent, refused
	return result
}

// sendCost times bursts that fit into a client's queue, for one client after the
// other.
func (j *jobs) sendCost(calls int, size int) answer {
	var clients []*client
	for _, c := range j.hub.snapshot() {
		if len(c.send) == 0 {
			clients = append(clients, c)
		}
	}
	burst := j.queue
	if burst > maxBurst {
		burst = maxBurst
	}
	var total time.Duration
	done := 0
	for done < calls && len(clients) > 0 {
		c := clients[done/burst%len(clients)]
		first := done/burst/len(clients)*burst + 1
		total += j.timeBurst(c, first, burst, size)
		done += burst
		if !drained(c) {
			return answer{"error": errNoAck.Error()}
		}
	}
	if done == 0 {
		return answer{"ns": nil}
	}
	return answer{"ns": float64(total) / float64(done)}
}

func (j *jobs) timeBurst(c *client, first, count, size int) time.Duration {
	messages := make([]message, count)
	for i := range messages {
		messages[i].data = j.payload(uint64(first+i), size)
	}
	start := time.Now()
	for _, m := range messages {
		c.trySend(m)
	}
	return time.Since(start)
}

// drained waits until a client's channel is empty.
func drained(c *client) bool {
	limit := time.Now().Add(ackTimeout)
	for len(c.send) > 0 {
		if time.Now().After(limit) {
			return false
		}
		time.Sleep(time.Millisecond)
	}
	return true
}

// numbers are the words after a command's name, or nil when one is no number.
func numbers(words []string) []uint64 {
	values := make([]uint64, 0, len(words))
	for _, word := range words {
		value, err := strconv.ParseUint(word, 10, 63)
		if err != nil {
			return nil
		}
		values = append(values, value)
	}
	return values
}

func (j *jobs) obey(line string) answer {
	words := strings.Fields(line)
	unknown := answer{"error": "unknown command " + strconv.Quote(line)}
	if len(words) == 0 {
		return unknown
	}
	n := numbers(words[1:])
	usage := words[0] + " " + strconv.Itoa(len(n))
	if len(n) > 0 && n[len(n)-1] < stamp {
		return unknown
	}
	switch usage {
	case "count 0":
		return answer{"clients": len(j.hub.snapshot())}
	case "broadcast 3":
		return j.toAll(n[0], atTimes(time.Duration(n[1])*time.Microsecond), int(n[2]))
	case "closed 3":
		return j.toAll(n[0], j.withAcks(n[1]), int(n[2]))
	case "unicast 3":
		return j.toEach(n[0], j.withAcks(n[1]), int(n[2]), int(^uint(0)>>1))
	case "some 4":
		pace := atTimes(time.Duration(n[2]) * time.Microsecond)
		return j.toEach(n[1], pace, int(n[3]), int(n[0]))
	case "sendcost 2":
		return j.sendCost(int(n[0]), int(n[1]))
	}
	return unknown
}
