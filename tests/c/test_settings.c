#include "net/settings.h"

#include <zlib.h>

#include "check.h"
#include "core/alloc.h"

static ws_settings *
make(void)
{
    char proxy[] = "10.0.0.0/8";
    char origin[] = "https://a.example";
    char protocol[] = "chat";
    char id[] = "id";
    char user[] = "user";
    const char *proxies[] = {proxy, "unix:"};
    const char *origins[] = {origin};
    const char *protocols[] = {protocol, "superchat"};
    ws_settings *settings = ws_settings_new(&(ws_pump_config){
        .ping_interval_ns = 1,
        .max_message_size = 1234,
        .trusted_proxies = proxies,
        .trusted_proxy_count = 2,
        .origins = origins,
        .origin_count = 1,
        .subprotocols = protocols,
        .subprotocol_count = 2,
        .id_query = id,
        .user_query = user,
    });
    // What the caller does with its own afterwards is its own affair.
    memset(proxy, 'x', sizeof proxy - 1);
    memset(origin, 'x', sizeof origin - 1);
    memset(protocol, 'x', sizeof protocol - 1);
    memset(id, 'x', sizeof id - 1);
    memset(user, 'x', sizeof user - 1);
    return settings;
}

static void
everything_is_copied_and_proxies_are_parsed(void)
{
    ws_settings *settings = make();
    ws_network addr;

    CHECK_EQ(settings->config.ping_interval_ns, 1);
    CHECK_EQ(settings->decode.max_message_size, 1234);
    CHECK_STR_EQ(settings->config.origins[0], "https://a.example");
    CHECK_STR_EQ(settings->config.subprotocols[0], "chat");
    CHECK_STR_EQ(settings->config.subprotocols[1], "superchat");
    CHECK_STR_EQ(settings->config.id_query, "id");
    CHECK_STR_EQ(settings->config.user_query, "user");
    CHECK(ws_network_parse_addr(ws_slice_of("10.1.2.3"), &addr));
    CHECK(ws_network_contains(settings->proxies, 2, &addr));
    CHECK(ws_network_parse_addr(ws_slice_of("11.1.2.3"), &addr));
    CHECK(!ws_network_contains(settings->proxies, 2, &addr));
    ws_settings_free(settings);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
only_with_compression_may_a_message_be_marked_so(void)
{
    ws_settings *settings = make();
    CHECK_EQ(settings->decode.max_compressed_size, 0);
    CHECK_EQ(settings->decode.compressed_frame_extra, 0);
    CHECK_EQ(settings->decode_compressed.max_message_size, 1234);
    // What zlib makes of bytes that do not compress, with any of its set-ups.
    CHECK(settings->decode_compressed.max_compressed_size >=
          compressBound(1234));
    CHECK(settings->decode_compressed.max_compressed_size < 2 * 1234);
    ws_settings_free(settings);
}

static void
the_largest_limit_does_not_wrap(void)
{
    ws_settings *settings =
        ws_settings_new(&(ws_pump_config){.max_message_size = PTRDIFF_MAX});
    CHECK(settings->decode_compressed.max_compressed_size > PTRDIFF_MAX);
    ws_settings_free(settings);
}

static void
nothing_is_needed(void)
{
    ws_settings *settings = ws_settings_new(&(ws_pump_config){0});
    CHECK(settings->config.id_query == NULL);
    CHECK_EQ(settings->config.origin_count, 0);
    ws_settings_free(settings);
    ws_settings_free(NULL);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
no_memory_leaves_nothing_behind(void)
{
    long n = 0;
    for (ws_settings *settings = NULL; settings == NULL; n++) {
        ws_alloc_fail_at(n);
        settings = make();
        ws_alloc_fail_at(-1);
        ws_settings_free(settings);
        CHECK_EQ(ws_alloc_live(), 0);
    }
    CHECK(n > 10);
}

static const ws_test tests[] = {
    TEST(everything_is_copied_and_proxies_are_parsed),
    TEST(only_with_compression_may_a_message_be_marked_so),
    TEST(the_largest_limit_does_not_wrap),
    TEST(nothing_is_needed),
    TEST(no_memory_leaves_nothing_behind),
};

TEST_MAIN(tests)
