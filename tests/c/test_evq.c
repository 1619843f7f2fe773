#include "core/evq.h"

#include <sched.h>

#include "check.h"
#include "core/held.h"
#include "core_kit.h"

static ws_hub *
hub_with(uint32_t max_messages, size_t max_bytes)
{
    ws_hub_limits limits = KIT_ROOMY;
    limits.inbound = (ws_evq_limits){max_messages, max_bytes};
    return kit_hub(limits);
}

static bool
readable(ws_hub *hub)
{
    return kit_readable(ws_evq_fd(ws_hub_events(hub)), 0);
}

/* A message whose first byte is `tag`. */
static ws_err
say(ws_client *client, size_t size, char tag)
{
    ws_inbound *in = ws_inbound_new(size + 1);
    CHECK(in != NULL);
    memset(ws_inbound_data(in), tag, size + 1);
    ws_err err =
        ws_evq_message(ws_hub_events(client->hub), client, in, size, true);
    if (err != WS_OK) {
        ws_inbound_free(in); // still ours
    }
    return err;
}

/* Takes one event and tells it in a letter: '+' Connected, '-' Disconnected,
   '!' a notice, '?' Authorize, '.' none, otherwise the message's tag. */
static char
take_one(ws_hub *hub, ws_client **whose, bool *room)
{
    ws_event event;
    bool any_room = false;
    if (!ws_evq_take(ws_hub_events(hub), &event, &any_room)) {
        return '.';
    }
    char letter = ' ';
    switch (event.kind) {
    case WS_EVENT_CONNECTED:
        letter = '+';
        break;
    case WS_EVENT_DISCONNECTED:
        letter = '-';
        break;
    case WS_EVENT_NOTICE:
        letter = '!';
        break;
    case WS_EVENT_AUTHORIZE:
        letter = '?';
        break;
    case WS_EVENT_MESSAGE:
        letter = (char)ws_inbound_data(event.message)[0];
        break;
    }
    if (whose != NULL) {
        *whose = event.client;
    }
    if (room != NULL) {
        *room = any_room;
    }
    ws_event_release(&event);
    return letter;
}

/* All that waits, as letters; the descriptor was readable if there was any. */
static void
expect(ws_hub *hub, const char *want)
{
    char got[32] = "";
    for (size_t i = 0; i + 1 < sizeof got; i++) {
        bool was_readable = readable(hub);
        char letter = take_one(hub, NULL, NULL);
        if (letter == '.') {
            break;
        }
        CHECK(was_readable);
        got[i] = letter;
    }
    CHECK_STR_EQ(got, want);
    CHECK(!readable(hub));
}

static void
end_client(ws_client *client)
{
    ws_hub_end_client(client, 1000, kit_text(""), true);
    ws_client_unref(client);
}

static void
the_events_of_a_client_come_in_order(void)
{
    ws_hub *hub = hub_with(100, 1000);
    ws_hub_start_events(hub);
    CHECK(!readable(hub));
    ws_client *a = kit_join_hub(hub, "a", NULL);
    CHECK_EQ(say(a, 3, '1'), WS_OK);
    ws_client *b = kit_join_hub(hub, "b", NULL);
    CHECK_EQ(say(b, 0, '2'), WS_OK);
    CHECK_EQ(say(a, 3, '3'), WS_OK);
    end_client(a);
    CHECK_EQ(say(b, 3, '4'), WS_OK);
    expect(hub, "+1+23-4");
    end_client(b);
    expect(hub, "-");
    kit_hub_free(hub);
}

static void
a_message_comes_as_it_was_given(void)
{
    ws_hub *hub = hub_with(100, 1000);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    ws_hub_start_events(hub);
    ws_inbound *in = ws_inbound_new(2);
    CHECK(in != NULL);
    memcpy(ws_inbound_data(in), "ab", 2);
    in = ws_inbound_grow(in, 6);
    CHECK(in != NULL);
    memcpy(ws_inbound_data(in) + 2, "cdef", 4);
    CHECK_EQ(ws_evq_message(ws_hub_events(hub), client, in, 5, false), WS_OK);

    ws_event event;
    bool room = true;
    CHECK(ws_evq_take(ws_hub_events(hub), &event, &room));
    CHECK_EQ(event.kind, WS_EVENT_CONNECTED);
    CHECK(event.client == client);
    ws_event_release(&event);
    CHECK(ws_evq_take(ws_hub_events(hub), &event, &room));
    CHECK_EQ(event.kind, WS_EVENT_MESSAGE);
    CHECK(event.client == client);
    CHECK_EQ(event.size, 5);
    CHECK(!event.text);
    CHECK_MEM_EQ(ws_inbound_data(event.message), "abcde", 5);
    CHECK(!room); // nobody was refused
    ws_event_release(&event);
    ws_client_unref(client);
    kit_hub_free(hub);
}

/* What one client may queue, and what is left for a second. */
static void
a_flood_is_bounded_and_leaves_room_for_others(void)
{
    static const struct {
        const char *what;
        uint32_t max_messages;
        size_t max_bytes, size;
        int first, second, third;
    } cases[] = {
        {"by messages", 8, 1000, 1, 4, 2, 1},
        {"by bytes", 100, 80, 10, 4, 2, 1},
        {"empty messages", 8, 1, 0, 4, 2, 1},
        {"two places", 2, 1000, 1, 1, 1, 0},
        {"one place", 1, 1000, 1, 1, 0, 0},
        {"as large as all of it", 100, 80, 80, 1, 0, 0},
        {"half of it", 100, 80, 40, 1, 1, 0},
        {"larger than all of it, alone", 100, 80, 81, 1, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ws_hub *hub = hub_with(cases[i].max_messages, cases[i].max_bytes);
        ws_hub_start_events(hub);
        const int want[] = {cases[i].first, cases[i].second, cases[i].third};
        for (size_t k = 0; k < COUNT_OF(want); k++) {
            char id[] = {(char)('a' + k), '\0'};
            ws_client *client = kit_join_hub(hub, id, NULL);
            int said = 0;
            while (say(client, cases[i].size, 'm') == WS_OK) {
                CHECK(++said <= 100);
            }
            kit_case(cases[i].what, said == want[k]);
            CHECK_EQ(said, want[k]);
            ws_client_unref(client);
        }
        ws_evq_stats stats = ws_evq_get_stats(ws_hub_events(hub));
        CHECK(stats.messages <= cases[i].max_messages);
        CHECK(stats.bytes <= cases[i].max_bytes || stats.messages == 1);
        kit_hub_free(hub);
    }
}

/* Whoever was refused is told exactly once, when half of it is gone. */
static void
the_starved_hear_of_room(void)
{
    static const struct {
        const char *what;
        uint32_t max_messages;
        size_t max_bytes, size;
        int takes; // messages taken until room is told
    } cases[] = {
        {"half of the messages gone", 8, 1000, 1, 2},
        {"half of the bytes gone", 100, 80, 10, 2},
        {"one place", 1, 1000, 1, 1},
        {"all the bytes", 100, 80, 80, 1},
        {"more than all the bytes", 100, 80, 81, 1},
        {"an odd number", 7, 1000, 1, 2},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ws_hub *hub = hub_with(cases[i].max_messages, cases[i].max_bytes);
        ws_hub_start_events(hub);
        ws_client *client = kit_join_hub(hub, "a", NULL);
        while (say(client, cases[i].size, 'm') == WS_OK) {
        }
        bool room = false;
        CHECK_EQ(take_one(hub, NULL, &room), '+');
        CHECK(!room); // a Connected was not in the way
        int takes = 0;
        while (!room) {
            CHECK_EQ(take_one(hub, NULL, &room), 'm');
            takes++;
        }
        kit_case(cases[i].what, takes == cases[i].takes);
        CHECK_EQ(takes, cases[i].takes);
        CHECK_EQ(say(client, cases[i].size, 'm'), WS_OK); // there is room
        while (take_one(hub, NULL, &room) != '.') {
            CHECK(!room); // told once
        }
        ws_client_unref(client);
        kit_hub_free(hub);
    }
}

/* Room rings the pump's doorbell, for it has paused somebody. */
static void
room_rings_the_pump(void)
{
    ws_hub *hub = hub_with(1, 1000);
    int bell = ws_wake_fd(ws_hub_wake(hub));
    ws_hub_start_events(hub);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    CHECK_EQ(say(client, 1, 'm'), WS_OK);
    CHECK_EQ(say(client, 1, 'm'), WS_ERR_FULL);
    ws_event event;
    CHECK(ws_hub_take_event(hub, &event));
    ws_event_release(&event);
    CHECK(!kit_readable(bell, 0));
    CHECK(ws_hub_take_event(hub, &event));
    ws_event_release(&event);
    CHECK(kit_readable(bell, 0));
    ws_client_unref(client);
    kit_hub_free(hub);
}

static void
a_pair_that_nobody_took_vanishes(void)
{
    static const struct {
        const char *what;
        bool speaks, take_first;
        const char *want;
    } cases[] = {
        {"untaken, silent", false, false, ""},
        {"untaken, but it spoke", true, false, "+m-"},
        {"Connected was taken", false, true, "-"},
        {"Connected was taken, and it spoke", true, true, "m-"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ws_hub *hub = hub_with(100, 1000);
        ws_hub_start_events(hub);
        ws_client *client = kit_join_hub(hub, "a", NULL);
        if (cases[i].take_first) {
            CHECK_EQ(take_one(hub, NULL, NULL), '+');
        }
        if (cases[i].speaks) {
            CHECK_EQ(say(client, 1, 'm'), WS_OK);
        }
        end_client(client);
        char got[8] = "";
        for (size_t k = 0; k < 7; k++) {
            char letter = take_one(hub, NULL, NULL);
            got[k] = letter == '.' ? '\0' : letter;
        }
        kit_case(cases[i].what, strcmp(got, cases[i].want) == 0);
        CHECK_STR_EQ(got, cases[i].want);
        kit_hub_free(hub);
    }
}

/* Connected and Disconnected need neither room nor memory. */
static void
coming_and_going_is_never_lost(void)
{
    ws_hub *hub = hub_with(1, 1);
    ws_client *clients[20];
    ws_hub_start_events(hub);
    clients[0] = kit_join_hub(hub, "0", NULL);
    CHECK_EQ(say(clients[0], 1, 'm'), WS_OK); // the queue is full
    for (size_t i = 1; i < COUNT_OF(clients); i++) {
        clients[i] = kit_join_number(hub, i, NULL);
    }
    for (size_t i = 0; i < COUNT_OF(clients) + 1; i++) {
        CHECK(take_one(hub, NULL, NULL) != '.');
    }
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        ws_alloc_fail_at(0);
        end_client(clients[i]);
    }
    ws_alloc_fail_at(-1);
    expect(hub, "--------------------");
    kit_hub_free(hub);
}

/* ---- what is held */

static void
never_run(ws_task *task, void *pump)
{
    (void)task;
    (void)pump;
    CHECK(false);
}

static ws_held *
new_held(ws_hub *hub)
{
    ws_held *held = ws_held_new(
        ws_hub_wake(hub), &(ws_held_info){.remote = {NULL, 0}}, never_run);
    CHECK(held != NULL);
    return held;
}

static void
end_held(ws_hub *hub, ws_held *held)
{
    CHECK(ws_held_end(held, WS_HELD_GONE));
    ws_evq_withdraw(ws_hub_events(hub), held);
    ws_held_unref(held);
}

static void
a_handshake_is_queued_before_the_start_too(void)
{
    ws_hub *hub = hub_with(0, 1);
    ws_held *held = new_held(hub);
    long live = ws_alloc_live();
    ws_evq_authorize(ws_hub_events(hub), held);
    CHECK_EQ(ws_alloc_live(), live); // its slot is its own
    CHECK(readable(hub));
    ws_hub_start_events(hub);
    ws_event event;
    bool room = false;
    CHECK(ws_evq_take(ws_hub_events(hub), &event, &room));
    CHECK_EQ(event.kind, WS_EVENT_AUTHORIZE);
    CHECK(event.held == held && event.client == NULL);
    ws_event_release(&event);
    expect(hub, "");
    end_held(hub, held);
    kit_hub_free(hub);
}

static void
a_handshake_that_is_over_vanishes_from_the_queue(void)
{
    ws_hub *hub = hub_with(10, 1000);
    ws_held *one = new_held(hub);
    ws_held *two = new_held(hub);
    ws_held *three = new_held(hub);
    ws_hub_start_events(hub);
    ws_evq_authorize(ws_hub_events(hub), one);
    ws_evq_authorize(ws_hub_events(hub), two);
    ws_evq_authorize(ws_hub_events(hub), three);
    end_held(hub, two);
    CHECK_EQ(take_one(hub, NULL, NULL), '?');
    CHECK_EQ(take_one(hub, NULL, NULL), '?');
    CHECK_EQ(take_one(hub, NULL, NULL), '.');
    end_held(hub, one); // which was taken: nothing is left to withdraw
    end_held(hub, three);
    kit_hub_free(hub);
}

static void
a_handshake_comes_back_only_while_it_waits(void)
{
    ws_hub *hub = hub_with(10, 1000);
    ws_held *held = new_held(hub);
    ws_event event;
    bool room = false;
    ws_hub_start_events(hub);
    ws_evq_authorize(ws_hub_events(hub), held);
    CHECK(ws_evq_take(ws_hub_events(hub), &event, &room));
    ws_alloc_fail_every(1);
    CHECK(ws_evq_put_back(ws_hub_events(hub), &event));
    ws_alloc_fail_every(0);
    CHECK(event.held == NULL);
    CHECK(readable(hub));
    CHECK(ws_evq_take(ws_hub_events(hub), &event, &room));
    CHECK(ws_held_end(held, WS_HELD_GONE));
    ws_evq_withdraw(ws_hub_events(hub), held);
    CHECK(ws_evq_put_back(ws_hub_events(hub), &event));
    expect(hub, "");
    ws_held_unref(held);
    kit_hub_free(hub);
}

static void
a_queue_that_goes_gives_its_handshakes_back(void)
{
    ws_hub *hub = hub_with(10, 1000);
    ws_held *held = new_held(hub);
    ws_evq_authorize(ws_hub_events(hub), held);
    ws_held_unref(held);
    kit_hub_free(hub);
}

/* ---- an end that is told before it comes */

static void
only_the_first_end_of_a_client_is_told(void)
{
    static const struct {
        const char *what;
        int taken;    // of Connected and a message, before the first end
        int messages; // queued before it
        const char *want;
    } cases[] = {
        {"known", 1, 0, "-"},
        {"known, with a message", 1, 1, "1-"},
        {"unknown", 0, 0, ""},
        {"unknown, with a message", 0, 1, "+1-"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ws_hub *hub = hub_with(100, 1000);
        ws_hub_start_events(hub);
        ws_client *client = kit_join_hub(hub, "a", NULL);
        if (cases[i].taken > 0) {
            CHECK_EQ(take_one(hub, NULL, NULL), '+');
        }
        if (cases[i].messages > 0) {
            CHECK_EQ(say(client, 3, '1'), WS_OK);
        }
        ws_evq_disconnected(ws_hub_events(hub), client);
        // Nothing that it says from here on is for anybody.
        CHECK_EQ(say(client, 3, '2'), WS_OK);
        CHECK_EQ(ws_counted(&client->received_dropped), 1);
        end_client(client);
        kit_case(cases[i].what, true);
        expect(hub, cases[i].want);
        CHECK_EQ(ws_evq_get_stats(ws_hub_events(hub)).dropped, 0);
        kit_hub_free(hub);
    }
}

static void
before_the_start_nothing_is_stored_and_messages_are_counted(void)
{
    ws_hub *hub = hub_with(100, 1000);
    ws_evq *evq = ws_hub_events(hub);
    ws_client *stays = kit_join_hub(hub, "a", NULL);
    ws_client *goes = kit_join_hub(hub, "b", NULL);
    CHECK(!ws_evq_takes(evq));
    CHECK_EQ(say(stays, 1, 'm'), WS_OK);
    CHECK_EQ(say(goes, 1, 'm'), WS_OK);
    ws_evq_count_dropped(evq);
    end_client(goes);
    CHECK(!readable(hub));
    ws_evq_stats stats = ws_evq_get_stats(evq);
    CHECK_EQ(stats.dropped, 3);
    CHECK_EQ(stats.queued, 0);
    CHECK_EQ(stats.messages, 0);
    ws_hub_start_events(hub);
    ws_hub_start_events(hub);
    CHECK(ws_evq_takes(evq));
    expect(hub, "+"); // for the one that is open, once
    end_client(stays);
    expect(hub, "-");
    kit_hub_free(hub);
}

static void
a_closing_client_is_not_announced_at_the_start(void)
{
    ws_hub *hub = hub_with(100, 1000);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    CHECK_EQ(ws_hub_close_client(client, 1000, kit_text("")), WS_OK);
    ws_hub_start_events(hub);
    expect(hub, "");
    end_client(client);
    expect(hub, "");
    kit_hub_free(hub);
}

/* Between the start and its announcement a client may speak, or end. */
static void
a_client_may_speak_before_its_turn_to_be_announced(void)
{
    ws_hub *hub = hub_with(100, 1000);
    ws_evq *evq = ws_hub_events(hub);
    ws_client *speaks = kit_join_hub(hub, "a", NULL);
    ws_client *ends = kit_join_hub(hub, "b", NULL);
    CHECK(ws_evq_start(evq)); // the first half of ws_hub_start_events
    CHECK(!ws_evq_start(evq));
    CHECK_EQ(say(speaks, 1, 'm'), WS_OK);
    ws_hub_end_client(ends, 1000, kit_text(""), true);
    ws_evq_announce(evq, speaks);
    ws_evq_announce(evq, ends); // too late
    expect(hub, "+m");
    ws_client_unref(speaks);
    ws_client_unref(ends);
    kit_hub_free(hub);
}

static void
with_no_places_messages_are_dropped_but_comings_are_told(void)
{
    ws_hub *hub = hub_with(0, 1000);
    ws_hub_start_events(hub);
    CHECK(!ws_evq_takes(ws_hub_events(hub)));
    ws_client *client = kit_join_hub(hub, "a", NULL);
    CHECK_EQ(say(client, 1, 'm'), WS_OK);
    expect(hub, "+");
    CHECK_EQ(ws_evq_get_stats(ws_hub_events(hub)).dropped, 1);
    end_client(client);
    expect(hub, "-");
    kit_hub_free(hub);
}

/* ---- putting back */

static void
what_is_put_back_comes_first_again(void)
{
    ws_hub *hub = hub_with(100, 1000);
    ws_evq *evq = ws_hub_events(hub);
    ws_hub_start_events(hub);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    CHECK_EQ(say(client, 3, '1'), WS_OK);
    CHECK_EQ(say(client, 3, '2'), WS_OK);
    CHECK_EQ(ws_hub_notify(client, WS_WAIT_FLUSH, 7), WS_OK);
    end_client(client);

    static const char order[] = "+12!-";
    for (size_t i = 0; i < 5; i++) {
        ws_evq_stats before = ws_evq_get_stats(evq);
        ws_event event;
        bool room = false;
        CHECK(ws_evq_take(evq, &event, &room));
        CHECK(ws_evq_put_back(evq, &event));
        CHECK(event.client == NULL && event.message == NULL);
        CHECK(readable(hub));
        ws_evq_stats after = ws_evq_get_stats(evq);
        CHECK_EQ(after.messages, before.messages);
        CHECK_EQ(after.bytes, before.bytes);
        CHECK_EQ(after.queued, before.queued);
        CHECK_EQ(take_one(hub, NULL, NULL), order[i]);
    }
    expect(hub, "");
    kit_hub_free(hub);
}

/* The taker found the queue empty, and so cleared the descriptor, before it
   puts back what it has. */
static void
putting_back_into_an_empty_queue_signals(void)
{
    ws_hub *hub = hub_with(100, 1000);
    ws_evq *evq = ws_hub_events(hub);
    ws_hub_start_events(hub);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    ws_event event;
    bool room = false;
    CHECK(ws_evq_take(evq, &event, &room));
    CHECK_EQ(take_one(hub, NULL, NULL), '.');
    CHECK(!readable(hub));
    CHECK(ws_evq_put_back(evq, &event));
    expect(hub, "+");
    ws_client_unref(client);
    kit_hub_free(hub);
}

static void
a_connected_put_back_may_still_vanish_or_not(void)
{
    static const struct {
        const char *what;
        bool end_first;
        const char *want;
    } cases[] = {
        {"it ends after: the pair vanishes", false, ""},
        {"it ended before: both come", true, "+-"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ws_hub *hub = hub_with(100, 1000);
        ws_evq *evq = ws_hub_events(hub);
        ws_hub_start_events(hub);
        ws_client *client = kit_join_hub(hub, "a", NULL);
        ws_event event;
        bool room = false;
        CHECK(ws_evq_take(evq, &event, &room));
        if (cases[i].end_first) {
            end_client(client);
        }
        CHECK(ws_evq_put_back(evq, &event));
        if (!cases[i].end_first) {
            end_client(client);
        }
        expect(hub, cases[i].want);
        kit_hub_free(hub);
    }
}

/* The place was taken meanwhile: the queue is over its limits by one, and
   refuses until it is not. */
static void
a_message_put_back_into_a_full_queue_keeps_it_bounded(void)
{
    static const struct {
        const char *what;
        uint32_t max_messages;
        size_t max_bytes;
    } cases[] = {
        {"by messages", 2, 1000},
        {"by bytes", 100, 20},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ws_hub *hub = hub_with(cases[i].max_messages, cases[i].max_bytes);
        ws_evq *evq = ws_hub_events(hub);
        ws_hub_start_events(hub);
        ws_client *a = kit_join_hub(hub, "a", NULL);
        ws_client *b = kit_join_hub(hub, "b", NULL);
        ws_client *c = kit_join_hub(hub, "c", NULL);
        for (int k = 0; k < 3; k++) {
            CHECK_EQ(take_one(hub, NULL, NULL), '+');
        }
        CHECK_EQ(say(a, 10, '1'), WS_OK);
        CHECK_EQ(say(b, 10, '2'), WS_OK);
        ws_event event;
        bool room = false;
        CHECK(ws_evq_take(evq, &event, &room));
        CHECK_EQ(say(c, 10, '3'), WS_OK);
        CHECK(ws_evq_put_back(evq, &event));
        for (int k = 0; k < 3; k++) {
            kit_case(cases[i].what, say(a, 10, 'x') == WS_ERR_FULL);
            CHECK_EQ(say(a, 10, 'x'), WS_ERR_FULL);
            CHECK_EQ(say(b, 10, 'x'), WS_ERR_FULL);
            CHECK_EQ(say(c, 10, 'x'), WS_ERR_FULL);
        }
        expect(hub, "123");
        CHECK_EQ(say(a, 10, '4'), WS_OK);
        ws_client_unref(a);
        ws_client_unref(b);
        ws_client_unref(c);
        kit_hub_free(hub);
    }
}

static void
a_notice_put_back_without_memory_stays_with_its_taker(void)
{
    ws_hub *hub = hub_with(100, 1000);
    ws_evq *evq = ws_hub_events(hub);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    CHECK_EQ(ws_hub_notify(client, WS_WAIT_ROOM, 7), WS_OK);
    ws_event event;
    bool room = false;
    CHECK(ws_evq_take(evq, &event, &room));
    ws_alloc_fail_at(0);
    CHECK(!ws_evq_put_back(evq, &event));
    CHECK(event.client == client);
    CHECK_EQ(event.token, 7);
    CHECK(ws_evq_put_back(evq, &event));
    CHECK(ws_evq_take(evq, &event, &room));
    CHECK_EQ(event.kind, WS_EVENT_NOTICE);
    CHECK_EQ(event.token, 7);
    CHECK_EQ(event.result, WS_OK);
    ws_event_release(&event);
    ws_client_unref(client);
    kit_hub_free(hub);
}

/* ---- the descriptor */

/* Whatever is done in whatever order: while events wait, it is readable. */
static void
the_descriptor_is_readable_whenever_events_wait(void)
{
    ws_hub *hub = hub_with(10, 1000);
    ws_evq *evq = ws_hub_events(hub);
    uint32_t random = 77;
    size_t waiting = 0;
    ws_hub_start_events(hub);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    CHECK_EQ(take_one(hub, NULL, NULL), '+');
    for (int i = 0; i < 20000; i++) {
        ws_event event;
        bool room = false;
        switch (kit_random(&random) % 5) {
        case 0:
        case 1:
            waiting += say(client, 1, 'm') == WS_OK ? 1 : 0;
            break;
        case 2:
            if (ws_evq_take(evq, &event, &room)) {
                CHECK(ws_evq_put_back(evq, &event));
            } else {
                CHECK_EQ(waiting, 0);
            }
            break;
        default:
            if (take_one(hub, NULL, NULL) != '.') {
                waiting--;
            } else {
                CHECK_EQ(waiting, 0);
                CHECK(!readable(hub));
            }
        }
        if (waiting > 0) {
            CHECK(readable(hub));
        }
    }
    ws_client_unref(client);
    kit_hub_free(hub);
}

static void
a_queue_without_memory_or_descriptor_is_none(void)
{
    ws_evq *evq = NULL;
    ws_alloc_fail_at(0);
    CHECK_EQ(ws_evq_new((ws_evq_limits){1, 1}, &evq), WS_ERR_NOMEM);
    ws_evq_free(evq);
    CHECK_EQ(ws_evq_new((ws_evq_limits){1, 1}, &evq), WS_OK);
    ws_evq_close_after_fork(evq);
    CHECK_EQ(ws_evq_fd(evq), -1);
    ws_evq_free(evq);
    ws_alloc_fail_at(0);
    CHECK(ws_inbound_new(10) == NULL);
    ws_inbound *in = ws_inbound_new(1);
    ws_inbound_data(in)[0] = 'x';
    ws_alloc_fail_at(0);
    CHECK(ws_inbound_grow(in, 100) == NULL);
    CHECK_EQ(ws_inbound_data(in)[0], 'x');
    ws_inbound_free(in);
    ws_inbound_free(NULL);
    CHECK_EQ(ws_alloc_live(), 0);
}

/* ---- races */

enum { CLIENTS = 4, PER_CLIENT = 5000, JOINS = 1000 };

typedef struct race {
    ws_hub *hub;
    atomic_int taken;
    atomic_bool fed; // the pump has nothing more
} race;

/* A pump: each client says its numbers in order, and waits for room. */
static void *
feed(void *arg)
{
    race *r = arg;
    ws_client *clients[CLIENTS];
    uint32_t next[CLIENTS] = {0};
    int left = CLIENTS * PER_CLIENT;
    int bell = ws_wake_fd(ws_hub_wake(r->hub));

    for (size_t i = 0; i < CLIENTS; i++) {
        char id[] = {(char)('a' + i), '\0'};
        clients[i] = kit_join_hub(r->hub, id, NULL);
    }
    while (left > 0) {
        bool full = false;
        for (size_t i = 0; i < CLIENTS && left > 0; i++) {
            ws_inbound *in = ws_inbound_new(sizeof next[i]);
            CHECK(in != NULL);
            memcpy(ws_inbound_data(in), &next[i], sizeof next[i]);
            if (next[i] < PER_CLIENT &&
                ws_evq_message(ws_hub_events(r->hub), clients[i], in,
                               sizeof next[i], false) == WS_OK) {
                next[i]++;
                left--;
            } else {
                full |= next[i] < PER_CLIENT;
                ws_inbound_free(in);
            }
        }
        if (full) {
            // Paused: only the drainer's ring can tell of room.
            ws_wake_chain chain;
            ws_task *tasks;
            CHECK(kit_readable(bell, WS_KIT_PATIENCE_MS));
            ws_wake_take(ws_hub_wake(r->hub), &chain, &tasks);
        }
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        end_client(clients[i]);
    }
    return NULL;
}

/* The drainer sleeps in poll() without a time-out of its own, the pump on its
   doorbell: a signal lost on either side would leave both asleep. */
static void
no_signal_gets_lost_between_pump_and_drainer(void)
{
    race r = {.hub = hub_with(10, 1000)};
    uint32_t next[CLIENTS] = {0};
    int gone = 0;
    ws_hub_start_events(r.hub);
    int fd = ws_evq_fd(ws_hub_events(r.hub));
    pthread_t pump = kit_spawn(feed, &r);
    while (gone < CLIENTS) {
        ws_event event;
        CHECK(kit_readable(fd, WS_KIT_PATIENCE_MS)); // before each of them
        if (!ws_hub_take_event(r.hub, &event)) {
            continue;
        }
        if (event.kind == WS_EVENT_MESSAGE) {
            uint32_t number = 0;
            size_t who = (size_t)(event.client->info.id.data[0] - 'a');
            memcpy(&number, ws_inbound_data(event.message), sizeof number);
            CHECK_EQ(number, next[who]++);
        } else if (event.kind == WS_EVENT_DISCONNECTED) {
            size_t who = (size_t)(event.client->info.id.data[0] - 'a');
            CHECK_EQ(next[who], PER_CLIENT);
            gone++;
        }
        ws_event_release(&event);
    }
    kit_join(pump);
    CHECK_EQ(ws_evq_get_stats(ws_hub_events(r.hub)).queued,
             CLIENTS * PER_CLIENT);
    kit_hub_free(r.hub);
}

/* Any thread may take: two of them share the events, none is doubled. */
static void *
take_some(void *arg)
{
    race *r = arg;
    int fd = ws_evq_fd(ws_hub_events(r->hub));
    while (atomic_load(&r->taken) < CLIENTS * PER_CLIENT) {
        ws_event event;
        if (ws_hub_take_event(r->hub, &event)) {
            if (event.kind == WS_EVENT_MESSAGE) {
                atomic_fetch_add(&r->taken, 1);
            }
            ws_event_release(&event);
        } else {
            (void)kit_readable(fd, 1); // the other may have the last
        }
    }
    return NULL;
}

static void
two_takers_share_the_events(void)
{
    race r = {.hub = hub_with(10, 1000)};
    ws_hub_start_events(r.hub);
    pthread_t pump = kit_spawn(feed, &r);
    pthread_t other = kit_spawn(take_some, &r);
    (void)take_some(&r);
    kit_join(other);
    kit_join(pump);
    CHECK_EQ(r.taken, CLIENTS * PER_CLIENT);
    CHECK_EQ(ws_evq_get_stats(ws_hub_events(r.hub)).messages, 0);
    kit_hub_free(r.hub);
}

/* Clients come, speak and go while events are started and drained: each is
   heard of as Connected first and Disconnected last, or not at all. */
static void *
come_and_go(void *arg)
{
    race *r = arg;
    ws_client *clients[8] = {NULL};
    for (size_t i = 0; i < JOINS; i++) {
        ws_client **at = &clients[i % COUNT_OF(clients)];
        if (*at != NULL) {
            end_client(*at);
        }
        *at = kit_join_number(r->hub, i, NULL);
        if (i % 3 == 0) {
            ws_err err = say(*at, 1, 'm');
            CHECK(err == WS_OK || err == WS_ERR_FULL);
        }
    }
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        end_client(clients[i]);
    }
    atomic_store(&r->fed, true);
    return NULL;
}

static void
a_start_amid_comings_and_goings_tells_whole_stories(void)
{
    static char state[JOINS];
    race r = {.hub = hub_with(50, 1000)};
    pthread_t pump = kit_spawn(come_and_go, &r);
    bool last = false;
    memset(state, 0, sizeof state);
    ws_hub_start_events(r.hub);
    while (!last) {
        ws_event event;
        last = atomic_load(&r.fed);
        while (ws_hub_take_event(r.hub, &event)) {
            char *seen = &state[strtoul(event.client->info.id.data, NULL, 10)];
            CHECK_EQ(*seen, event.kind == WS_EVENT_CONNECTED ? 0 : 1);
            if (event.kind != WS_EVENT_MESSAGE) {
                (*seen)++;
            }
            ws_event_release(&event);
        }
        sched_yield();
    }
    for (size_t i = 0; i < JOINS; i++) {
        CHECK(state[i] != 1); // nobody is left without a Disconnected
    }
    kit_join(pump);
    kit_hub_free(r.hub);
}

static const ws_test tests[] = {
    TEST(the_events_of_a_client_come_in_order),
    TEST(a_message_comes_as_it_was_given),
    TEST(a_flood_is_bounded_and_leaves_room_for_others),
    TEST(the_starved_hear_of_room),
    TEST(room_rings_the_pump),
    TEST(a_pair_that_nobody_took_vanishes),
    TEST(coming_and_going_is_never_lost),
    TEST(a_handshake_is_queued_before_the_start_too),
    TEST(a_handshake_that_is_over_vanishes_from_the_queue),
    TEST(a_handshake_comes_back_only_while_it_waits),
    TEST(a_queue_that_goes_gives_its_handshakes_back),
    TEST(only_the_first_end_of_a_client_is_told),
    TEST(before_the_start_nothing_is_stored_and_messages_are_counted),
    TEST(a_closing_client_is_not_announced_at_the_start),
    TEST(a_client_may_speak_before_its_turn_to_be_announced),
    TEST(with_no_places_messages_are_dropped_but_comings_are_told),
    TEST(what_is_put_back_comes_first_again),
    TEST(putting_back_into_an_empty_queue_signals),
    TEST(a_connected_put_back_may_still_vanish_or_not),
    TEST(a_message_put_back_into_a_full_queue_keeps_it_bounded),
    TEST(a_notice_put_back_without_memory_stays_with_its_taker),
    TEST(the_descriptor_is_readable_whenever_events_wait),
    TEST(a_queue_without_memory_or_descriptor_is_none),
    TEST(no_signal_gets_lost_between_pump_and_drainer),
    TEST(two_takers_share_the_events),
    TEST(a_start_amid_comings_and_goings_tells_whole_stories),
};

TEST_MAIN(tests)
