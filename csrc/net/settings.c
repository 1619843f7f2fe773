#include "settings.h"

#include <assert.h>
#include <string.h>

#include "core/alloc.h"

static void
free_list(const char *const *list, size_t count)
{
    for (size_t i = 0; list != NULL && i < count; i++) {
        ws_free((char *)(uintptr_t)list[i]);
    }
    ws_free((void *)(uintptr_t)list);
}

/* False: no memory, and *out is NULL. */
static bool
copy_list(const char *const *list, size_t count, const char *const **out)
{
    char **copy = ws_calloc(count + 1, sizeof *copy);
    *out = (const char *const *)copy;
    for (size_t i = 0; copy != NULL && i < count; i++) {
        copy[i] = ws_strndup(list[i], strlen(list[i]));
        if (copy[i] == NULL) {
            free_list(*out, count);
            *out = NULL;
        }
        if (*out == NULL) {
            return false;
        }
    }
    return copy != NULL;
}

static bool
copy_text(const char *text, const char **out)
{
    *out = text == NULL ? NULL : ws_strndup(text, strlen(text));
    return text == NULL || *out != NULL;
}

static bool
parse_proxies(ws_settings *settings)
{
    const ws_pump_config *config = &settings->config;
    settings->proxies =
        ws_calloc(config->trusted_proxy_count + 1, sizeof *settings->proxies);
    for (size_t i = 0;
         settings->proxies != NULL && i < config->trusted_proxy_count; i++) {
        const char *error = ws_network_parse(config->trusted_proxies[i],
                                             &settings->proxies[i]);
        assert(error == NULL); // ws_pump_network_error was asked before
        (void)error;
    }
    return settings->proxies != NULL;
}

/* What does not compress grows, in the worst of zlib's set-ups by an eighth
   and a 64th (deflateBound); what was inflated is bounded by itself. */
static uint64_t
most_compressed(size_t size)
{
    return (uint64_t)size + size / 8 + size / 64 + 64;
}

/* What a piece of a few bytes grows by when it is flushed: block and flush
   need 8 at most where the compressor is zlib. */
enum { FLUSHED_EXTRA = 16 };

ws_settings *
ws_settings_new(const ws_pump_config *from)
{
    ws_settings *settings = ws_calloc(1, sizeof *settings);
    if (settings == NULL) {
        return NULL;
    }
    ws_pump_config *config = &settings->config;
    *config = *from;
    config->trusted_proxies = config->origins = config->subprotocols = NULL;
    config->id_query = config->user_query = NULL;
    settings->decode = (ws_decode_limits){
        .max_message_size = from->max_message_size,
        .max_fragments = WS_DECODE_MAX_FRAGMENTS,
    };
    settings->decode_compressed = settings->decode;
    settings->decode_compressed.max_compressed_size =
        most_compressed(from->max_message_size);
    settings->decode_compressed.compressed_frame_extra = FLUSHED_EXTRA;
    if (!copy_list(from->trusted_proxies, from->trusted_proxy_count,
                   &config->trusted_proxies) ||
        !copy_list(from->origins, from->origin_count, &config->origins) ||
        !copy_list(from->subprotocols, from->subprotocol_count,
                   &config->subprotocols) ||
        !copy_text(from->id_query, &config->id_query) ||
        !copy_text(from->user_query, &config->user_query) ||
        !parse_proxies(settings)) {
        ws_settings_free(settings);
        return NULL;
    }
    return settings;
}

void
ws_settings_free(ws_settings *settings)
{
    if (settings == NULL) {
        return;
    }
    const ws_pump_config *config = &settings->config;
    free_list(config->trusted_proxies, config->trusted_proxy_count);
    free_list(config->origins, config->origin_count);
    free_list(config->subprotocols, config->subprotocol_count);
    ws_free((char *)(uintptr_t)config->id_query);
    ws_free((char *)(uintptr_t)config->user_query);
    ws_free(settings->proxies);
    ws_free(settings);
}
