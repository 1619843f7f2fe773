#include "door.h"

#include <sys/socket.h>
#include <unistd.h>

#include "proto/handshake_response.h"
#include "pump_inside.h"

enum {
    ANSWER_MAX = 512,
    DRAIN_READS = 4, // of what came before the end
};

bool
ws_door_trusts(const ws_pump *pump, const char *peer, ws_network *addr)
{
    const ws_settings *settings = pump->settings;
    if (!ws_network_parse_addr(ws_slice_of(peer), addr)) {
        *addr = (ws_network){.is_unix = true}; // gone already
        return false;
    }
    return ws_network_contains(settings->proxies,
                               settings->config.trusted_proxy_count, addr);
}

/* What is unread when a socket closes makes the kernel reset it, and a reset
   may overtake the answer. */
static void
drain(int fd)
{
    char buf[1024];
    for (int i = 0; i < DRAIN_READS; i++) {
        if (recv(fd, buf, sizeof buf, MSG_DONTWAIT) <= 0) {
            return;
        }
    }
}

void
ws_door_refuse(int fd, bool plain, const char *text)
{
    char buf[ANSWER_MAX];
    if (plain) {
        size_t size =
            ws_handshake_response(buf, sizeof buf,
                                  &(ws_handshake_answer){
                                      .status = 503,
                                      .body = ws_slice_of(text),
                                      .headers = "Retry-After: 10\r\n",
                                  });
        ssize_t sent = send(fd, buf, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)sent; // a fresh socket has room
        (void)shutdown(fd, SHUT_WR);
        drain(fd);
    }
    (void)close(fd);
}

static void
turn_away(ws_pump *pump, int fd, bool plain, const char *text)
{
    ws_count(&pump->counters->accepted_connections, 1);
    ws_count(&pump->counters->refused_handshakes, 1);
    ws_door_refuse(fd, plain, text);
}

bool
ws_door_admit(ws_pump *pump, int fd, bool plain, const ws_addr *peer,
              ws_crowd_entry **entry)
{
    const ws_pump_config *config = &pump->settings->config;
    ws_network addr;

    *entry = NULL;
    if (config->max_connections > 0 &&
        ws_crew_connections(pump->crew) >= config->max_connections) {
        turn_away(pump, fd, plain, "Too many connections.\n");
        return false;
    }
    if (config->max_clients_per_ip == 0 ||
        ws_door_trusts(pump, peer->text, &addr) || addr.is_unix) {
        return true;
    }
    ws_err err =
        ws_crowd_enter(pump->crowd, &addr, config->max_clients_per_ip, entry);
    if (err == WS_ERR_TOO_MANY) {
        turn_away(pump, fd, plain, "Too many clients of this address.\n");
    } else if (err != WS_OK) {
        (void)close(fd);
    }
    return err == WS_OK;
}
