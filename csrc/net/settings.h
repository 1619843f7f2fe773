/*
 * settings.h - the configuration of a crew's pumps, copied and made ready for
 * use.
 *
 * Threads: new and free, any; read-only in between.
 * Owns:    copies of everything.
 */
#ifndef WS_NET_SETTINGS_H
#define WS_NET_SETTINGS_H

#include "crew.h"
#include "network.h"
#include "proto/frame_decode.h"

typedef struct ws_settings {
    ws_pump_config config;   /* strings are copies */
    ws_network *proxies;     /* config.trusted_proxy_count of them */
    ws_decode_limits decode; /* of those without compression, */
    ws_decode_limits decode_compressed; /* and of those with it */
} ws_settings;

/* NULL: no memory. */
ws_settings *ws_settings_new(const ws_pump_config *from);
void ws_settings_free(ws_settings *settings); /* NULL does nothing */

#endif
