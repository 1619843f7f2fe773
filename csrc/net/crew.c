#include "crew.h"

#include <assert.h>
#include <errno.h>

#include "core/alloc.h"
#include "pump_inside.h"

const char *
ws_pump_network_error(const char *network)
{
    ws_network ignored;
    return ws_network_parse(network, &ignored);
}

/* ---- making and freeing */

/* Whatever of a crew there is, once all its pumps end. */
static void
free_parts(ws_crew *crew)
{
    for (size_t i = 0; i < crew->count; i++) {
        ws_pump_free(crew->pumps[i]);
    }
    for (size_t i = 0; crew->others != NULL && i + 1 < crew->count; i++) {
        ws_wake_unref(crew->others[i].wake);
    }
    ws_free(crew->others);
    ws_crowd_free(crew->crowd);
    ws_compress_unref(crew->compress);
    ws_settings_free(crew->settings);
    ws_pages_unref(crew->pages);
    ws_hub_unref(crew->hub);
    ws_free(crew);
}

/* What the pumps have in common. */
static ws_err
equip(ws_crew *crew, const ws_pump_config *config)
{
    crew->settings = ws_settings_new(config);
    crew->crowd = ws_crowd_new();
    crew->compress = config->compression ? ws_compress_new() : NULL;
    if (crew->count > 1) {
        crew->others = ws_calloc(crew->count - 1, sizeof *crew->others);
    }
    if (crew->settings == NULL || crew->crowd == NULL ||
        (config->compression && crew->compress == NULL) ||
        (crew->count > 1 && crew->others == NULL)) {
        return WS_ERR_NOMEM;
    }
    return ws_fork_init();
}

static ws_err
make_pump(ws_crew *crew, size_t i)
{
    ws_hub *hub = crew->hub;
    if (i == 0) {
        return ws_pump_new(crew, ws_hub_wake(hub), ws_hub_counters(hub),
                           &crew->pumps[0]);
    }
    ws_hub_pump *own = &crew->others[i - 1];
    ws_err err = ws_wake_new(&own->wake);
    if (err == WS_OK) {
        ws_wake_set_number(own->wake, (unsigned)i);
        err = ws_pump_new(crew, own->wake, &own->counters, &crew->pumps[i]);
    }
    return err;
}

/* The first last: the hub's doorbell, once ended, could not be used again, nor
   the hub, once shut. */
static ws_err
start_all(ws_crew *crew)
{
    ws_err err = WS_OK;
    for (size_t i = crew->count; i-- > 0 && err == WS_OK;) {
        err = ws_pump_start(crew->pumps[i]);
    }
    return err;
}

/* Those that run are made to end. The hub, which may yet have another crew, is
   none the wiser: its first pump is not among them. */
static void
kill_started(ws_crew *crew)
{
    for (size_t i = 1; i < crew->count; i++) {
        if (crew->pumps[i] != NULL && crew->pumps[i]->started) {
            ws_pump_kill(crew->pumps[i]);
        }
    }
}

ws_err
ws_crew_new(ws_hub *hub, ws_pages *pages, const ws_pump_config *config,
            ws_crew **out)
{
    size_t count = config->pumps == 0 ? 1 : config->pumps;
    assert(count <= WS_PUMPS_MAX);
    ws_crew *crew = ws_calloc(1, sizeof *crew + count * sizeof crew->pumps[0]);
    if (crew == NULL) {
        return WS_ERR_NOMEM;
    }
    crew->count = count;
    crew->hub = ws_hub_ref(hub);
    crew->pages = ws_pages_ref(pages);
    ws_err err = equip(crew, config);
    for (size_t i = 0; i < count && err == WS_OK; i++) {
        err = make_pump(crew, i);
    }
    if (err == WS_OK) {
        err = start_all(crew);
    }
    if (err != WS_OK) {
        int sys = errno;
        kill_started(crew);
        free_parts(crew);
        errno = sys;
        return err;
    }
    if (count > 1) {
        ws_hub_add_pumps(hub, crew->others, count - 1);
        crew->others = NULL;
    }
    *out = crew;
    return WS_OK;
}

void
ws_crew_free(ws_crew *crew)
{
    if (crew != NULL) {
        ws_crew_kill(crew);
        free_parts(crew);
    }
}

/* ---- the end */

void
ws_crew_close(ws_crew *crew, uint16_t code, ws_text reason)
{
    // The first, which shuts the hub, last: so there is hardly a handshake
    // that is answered with a refusal instead of being cut.
    for (size_t i = crew->count; i-- > 0;) {
        ws_pump_close(crew->pumps[i], code, reason);
    }
}

void
ws_crew_kill(ws_crew *crew)
{
    for (size_t i = crew->count; i-- > 0;) {
        ws_pump_kill(crew->pumps[i]);
    }
}

ws_err
ws_crew_wait(ws_crew *crew, uint64_t until_ns)
{
    ws_err err = WS_OK;
    for (size_t i = 0; i < crew->count && err == WS_OK; i++) {
        err = ws_pump_wait(crew->pumps[i], until_ns);
    }
    return err;
}

/* ---- who has how many */

static uint64_t
connections(const ws_crew *crew, size_t i)
{
    return ws_counted(&crew->pumps[i]->counters->connections);
}

ws_pump *
ws_crew_next(const ws_crew *crew)
{
    size_t least = 0;
    for (size_t i = 1; i < crew->count; i++) {
        if (connections(crew, i) < connections(crew, least)) {
            least = i;
        }
    }
    return crew->pumps[least];
}

size_t
ws_crew_connections(const ws_crew *crew)
{
    uint64_t all = 0;
    for (size_t i = 0; i < crew->count; i++) {
        all += connections(crew, i);
    }
    return (size_t)all;
}
