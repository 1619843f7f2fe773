// A driver for gorilla/websocket.
package main

import (
	"bytes"
	"errors"
	"os"
	"time"

	"github.com/gorilla/websocket"
	. "wssend.test/e2e/payloads"
)

var kinds = map[int]func(int) []byte{
	websocket.TextMessage:   Text,
	websocket.BinaryMessage: Binary,
}

func exchange(ws *websocket.Conn, kind int, data []byte) bool {
	Check(ws.WriteMessage(kind, data))
	gotKind, got, err := ws.ReadMessage()
	Check(err)
	return gotKind == kind && bytes.Equal(got, data)
}

func echo(ws *websocket.Conn) Seen {
	bad := [][2]int{}
	for _, size := range Sizes {
		for kind, payload := range kinds {
			if !exchange(ws, kind, payload(size)) {
				bad = append(bad, [2]int{kind, size})
			}
		}
	}
	return Seen{"bad": bad}
}

// The write buffer holds 4 bytes, so each message is a frame per 4 bytes.
func fragments(ws *websocket.Conn) Seen {
	answers := map[int]string{}
	for kind := range kinds {
		writer, err := ws.NextWriter(kind)
		Check(err)
		for _, part := range Fragments {
			_, err = writer.Write([]byte(part))
			Check(err)
		}
		Check(writer.Close())
		_, got, err := ws.ReadMessage()
		Check(err)
		answers[kind] = string(got)
	}
	text, binary := answers[websocket.TextMessage], answers[websocket.BinaryMessage]
	return Seen{"text": text, "binary": binary}
}

func ping(ws *websocket.Conn) Seen {
	pong := ""
	ws.SetPongHandler(func(data string) error {
		pong = data
		return nil
	})
	deadline := time.Now().Add(Timeout)
	Check(ws.WriteControl(websocket.PingMessage, []byte("are you there"), deadline))
	exchange(ws, websocket.TextMessage, []byte("behind the pong"))
	return Seen{"pong": pong == "are you there"}
}

func subprotocol(ws *websocket.Conn) Seen {
	return Seen{"subprotocol": ws.Subprotocol()}
}

func waitForClose(ws *websocket.Conn) Seen {
	for {
		_, _, err := ws.ReadMessage()
		var closed *websocket.CloseError
		if errors.As(err, &closed) {
			return Seen{"code": closed.Code, "reason": closed.Text}
		}
		Check(err)
	}
}

func closeWith(ws *websocket.Conn, code int, reason string) error {
	body := websocket.FormatCloseMessage(code, reason)
	return ws.WriteControl(websocket.CloseMessage, body, time.Now().Add(Timeout))
}

func clientCloses(ws *websocket.Conn) Seen {
	Check(closeWith(ws, 3001, "done"))
	return Seen{"code": waitForClose(ws)["code"]}
}

func serverCloses(ws *websocket.Conn) Seen {
	Check(ws.WriteMessage(websocket.TextMessage, []byte("please close")))
	return waitForClose(ws)
}

func main() {
	scenarios := map[string]func(*websocket.Conn) Seen{
		"echo":          echo,
		"fragments":     fragments,
		"ping":          ping,
		"subprotocol":   subprotocol,
		"client_closes": clientCloses,
		"server_closes": serverCloses,
		"idle":          waitForClose,
	}
	scenario := os.Args[2]
	dialer := websocket.Dialer{Subprotocols: Subprotocols, HandshakeTimeout: Timeout}
	if scenario == "fragments" {
		dialer.WriteBufferSize = 4
	}
	ws, _, err := dialer.Dial(os.Args[1], nil)
	Check(err)
	defer ws.Close()
	Check(ws.SetReadDeadline(time.Now().Add(Timeout)))
	exchange(ws, websocket.TextMessage, []byte("hello"))
	seen := scenarios[scenario](ws)
	if closeWith(ws, websocket.CloseNormalClosure, "") == nil {
		waitForClose(ws)
	} // closed already, otherwise
	Report(seen)
}
