// Package payloads is drivers/payloads.py for the drivers in Go.
package payloads

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

const Timeout = 20 * time.Second

var (
	Sizes        = []int{0, 1, 125, 126, 65535, 65536, 1 << 20}
	Subprotocols = []string{"unknown", "chat.v2", "chat.v1"}
	Fragments    = []string{"one ", "tw", "", "o and ", "three"}
)

// Seen is what a driver prints.
type Seen map[string]any

func Text(size int) []byte {
	return []byte(strings.Repeat("é€😀x", size/10) + strings.Repeat("x", size%10))
}

func Binary(size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(31*i + 7)
	}
	return data
}

// Check ends the program when something went wrong.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func Report(seen Seen) {
	Check(json.NewEncoder(os.Stdout).Encode(seen))
}
