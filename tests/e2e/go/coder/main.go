// A driver for coder/websocket.
package main

import (
	"bytes"
	"context"
	"errors"
	"os"

	"github.com/coder/websocket"
	. "wssend.test/e2e/payloads"
)

var kinds = map[websocket.MessageType]func(int) []byte{
	websocket.MessageText:   Text,
	websocket.MessageBinary: Binary,
}

func echo(ctx context.Context, ws *websocket.Conn) Seen {
	bad := [][2]int{}
	for _, size := range Sizes {
		for kind, payload := range kinds {
			Check(ws.Write(ctx, kind, payload(size)))
			gotKind, got, err := ws.Read(ctx)
			Check(err)
			if gotKind != kind || !bytes.Equal(got, payload(size)) {
				bad = append(bad, [2]int{int(kind), size})
			}
		}
	}
	return Seen{"bad": bad}
}

// A writer sends each Write as a frame of its own.
func fragments(ctx context.Context, ws *websocket.Conn) Seen {
	answers := map[websocket.MessageType]string{}
	for kind := range kinds {
		writer, err := ws.Writer(ctx, kind)
		Check(err)
		for _, part := range Fragments {
			_, err = writer.Write([]byte(part))
			Check(err)
		}
		Check(writer.Close())
		_, got, err := ws.Read(ctx)
		Check(err)
		answers[kind] = string(got)
	}
	text, binary := answers[websocket.MessageText], answers[websocket.MessageBinary]
	return Seen{"text": text, "binary": binary}
}

func ping(ctx context.Context, ws *websocket.Conn) Seen {
	err := ws.Ping(ws.CloseRead(ctx))
	return Seen{"pong": err == nil}
}

func subprotocol(_ context.Context, ws *websocket.Conn) Seen {
	return Seen{"subprotocol": ws.Subprotocol()}
}

func waitForClose(ctx context.Context, ws *websocket.Conn) Seen {
	for {
		_, _, err := ws.Read(ctx)
		var closed websocket.CloseError
		if errors.As(err, &closed) {
			return Seen{"code": closed.Code, "reason": closed.Reason}
		}
		Check(err)
	}
}

// Close fails unless the server's Close echoes the code.
func clientCloses(_ context.Context, ws *websocket.Conn) Seen {
	Check(ws.Close(3001, "done"))
	return Seen{"code": 3001}
}

func serverCloses(ctx context.Context, ws *websocket.Conn) Seen {
	Check(ws.Write(ctx, websocket.MessageText, []byte("please close")))
	return waitForClose(ctx, ws)
}

func main() {
	scenarios := map[string]func(context.Context, *websocket.Conn) Seen{
		"echo":          echo,
		"fragments":     fragments,
		"ping":          ping,
		"subprotocol":   subprotocol,
		"client_closes": clientCloses,
		"server_closes": serverCloses,
		"idle":          waitForClose,
	}
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	options := websocket.DialOptions{Subprotocols: Subprotocols}
	ws, _, err := websocket.Dial(ctx, os.Args[1], &options)
	Check(err)
	defer ws.CloseNow()
	ws.SetReadLimit(1 << 21)
	Check(ws.Write(ctx, websocket.MessageText, []byte("hello")))
	_, _, err = ws.Read(ctx)
	Check(err)
	seen := scenarios[os.Args[2]](ctx, ws)
	_ = ws.Close(websocket.StatusNormalClosure, "") // closed already, perhaps
	Report(seen)
}
