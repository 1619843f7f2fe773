#include "proto/origin.h"

#include <stdint.h>

#include "check.h"

static ws_slice
slice_or_none(const char *text)
{
    return text != NULL ? ws_slice_of(text) : (ws_slice){NULL, 0};
}

static void
rules_let_in_what_they_name(void)
{
    static const struct {
        const char *what;
        const char *rule;
        const char *origin; // NULL: no header
        bool allowed;
    } cases[] = {
        {"the same", "https://a.example", "https://a.example", true},
        {"any case", "HTTPS://A.Example", "https://a.eXAMPLE", true},
        {"its default port", "https://a.example", "https://a.example:443",
         true},
        {"its default port in the rule", "http://a.example:80",
         "http://a.example", true},
        {"another port", "https://a.example", "https://a.example:8443", false},
        {"another default port", "https://a.example", "https://a.example:80",
         false},
        {"a port of its own", "http://a.example:8080", "http://a.example:8080",
         true},
        {"another scheme", "https://a.example", "http://a.example", false},
        {"another host", "https://a.example", "https://b.example", false},
        {"a host that goes on", "https://a.example",
         "https://a.example.evil.com", false},
        {"a host that begins earlier", "https://a.example",
         "https://ba.example", false},
        {"a final dot", "https://a.example", "https://a.example.", false},
        {"an address", "http://127.0.0.1:8765", "http://127.0.0.1:8765", true},
        {"an IPv6 address", "http://[::1]", "http://[::1]:80", true},
        {"an extension's page", "chrome-extension://abcdef",
         "chrome-extension://abcdef", true},
        {"an app's page", "capacitor://localhost", "capacitor://localhost",
         true},
        {"a slash behind it", "https://a.example", "https://a.example/",
         false},
        {"a path behind it", "https://a.example", "https://a.example/x",
         false},
        {"a user before it", "https://a.example", "https://a.example@evil",
         false},
        {"two in one", "https://a.example",
         "https://a.example https://a.example", false},
        {"a fragment", "https://a.example", "https://a.example#", false},
        {"a port that is none", "https://a.example", "https://a.example:x",
         false},
        {"a port that wraps", "https://a.example",
         "https://a.example:4294967739", false},
        {"an empty header", "https://a.example", "", false},
        {"no header", "https://a.example", NULL, false},
        {"null", "https://a.example", "null", false},

        {"one label", "https://*.a.example", "https://b.a.example", true},
        {"two labels", "https://*.a.example", "https://c.b.a.example", true},
        {"labels in any case", "https://*.a.example", "https://B.A.EXAMPLE",
         true},
        {"the bare domain", "https://*.a.example", "https://a.example", false},
        {"no label", "https://*.a.example", "https://.a.example", false},
        {"an empty label", "https://*.a.example", "https://b..a.example",
         false},
        {"an empty first label", "https://*.a.example", "https://.b.a.example",
         false},
        {"not below", "https://*.a.example", "https://ba.example", false},
        {"the domain in the middle", "https://*.a.example",
         "https://b.a.example.evil.com", false},
        {"the domain as a path", "https://*.a.example",
         "https://evil.com/.a.example", false},
        {"the domain as a fragment", "https://*.a.example",
         "https://evil.com#.a.example", false},
        {"below, by another scheme", "https://*.a.example",
         "http://b.a.example", false},
        {"below, at another port", "https://*.a.example",
         "https://b.a.example:8443", false},
        {"below, at the port", "https://*.a.example:8443",
         "https://b.a.example:8443", true},
        {"the rule itself is no origin", "https://*.a.example",
         "https://*.a.example", false},

        {"null, listed", "null", "null", true},
        {"null in capitals", "null", "NULL", false},
        {"null lists nothing else", "null", "https://a.example", false},
        {"null is not no header", "null", NULL, false},
        {"no header, listed", "", NULL, true},
        {"no header is not an empty one", "", "", false},
        {"no header lists nothing else", "", "https://a.example", false},
        {"a broken rule lets nobody in", "*", "https://a.example", false},
        {"a broken rule lets not even itself in", "*", "*", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool allowed =
            ws_origin_allowed(slice_or_none(cases[i].origin),
                              ws_slice_of("host"), &cases[i].rule, 1);
        if (allowed != cases[i].allowed) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK_EQ(allowed, cases[i].allowed);
    }
}

static void
same_host_compares_host_and_port(void)
{
    static const struct {
        const char *what;
        const char *origin; // NULL: no header
        const char *host;
        bool allowed;
    } cases[] = {
        {"the same", "http://a.example", "a.example", true},
        {"any case", "http://a.example", "A.EXAMPLE", true},
        {"the same port", "http://a:8765", "a:8765", true},
        {"behind a proxy that ends TLS", "https://a", "a", true},
        {"a default port in the Host", "https://a", "a:443", true},
        {"a default port in the Origin", "http://a:80", "a", true},
        {"an empty port in the Host", "http://a", "a:", true},
        {"an address", "http://[::1]:8765", "[::1]:8765", true},
        {"another port", "http://a:8764", "a:8765", false},
        {"no port against one", "http://a", "a:8765", false},
        {"the other scheme's port", "https://a", "a:80", false},
        {"another host", "http://b", "a", false},
        {"a host below", "http://b.a", "a", false},
        {"an extension's page", "chrome-extension://a", "a", false},
        {"null", "null", "null", false},
        {"no Origin", NULL, "a", false},
        {"no Host", "http://a", "", false},
        {"a broken Host", "http://a", "a,a", false},
    };
    static const char *const rule = "same-host";

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool allowed = ws_origin_allowed(slice_or_none(cases[i].origin),
                                         ws_slice_of(cases[i].host), &rule, 1);
        if (allowed != cases[i].allowed) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK_EQ(allowed, cases[i].allowed);
    }
}

static void
any_rule_of_several_lets_in(void)
{
    static const char *const rules[] = {"https://a", "same-host", "",
                                        "https://*.b"};
    ws_slice host = ws_slice_of("h");

    CHECK(ws_origin_allowed(ws_slice_of("https://a"), host, rules, 4));
    CHECK(ws_origin_allowed(ws_slice_of("http://h"), host, rules, 4));
    CHECK(ws_origin_allowed(ws_slice_of("https://x.b"), host, rules, 4));
    CHECK(ws_origin_allowed((ws_slice){NULL, 0}, host, rules, 4));
    CHECK(!ws_origin_allowed(ws_slice_of("https://b"), host, rules, 4));
    CHECK(!ws_origin_allowed(ws_slice_of("https://a"), host, rules, 0));
}

static void
rules_are_checked_before_use(void)
{
    static const struct {
        const char *rule;
        bool valid;
    } cases[] = {
        {"https://a.example", true},
        {"https://a.example:8443", true},
        {"https://*.a.example", true},
        {"https://*.a.example:8443", true},
        {"http://[::1]:8765", true},
        {"http://localhost", true},
        {"http://[abcd:EF::0.0.0.0]", true},
        {"a://b", true},
        {"app+x.y-z://host", true},
        {"same-host", true},
        {"null", true},
        {"", true},
        {"*", false},
        {"https://*", false},
        {"https://*.", false},
        {"https://*..a", false},
        {"https://*a.example", false},
        {"https://a.*.example", false},
        {"https://*.*.example", false},
        {"a.example", false},
        {"//a.example", false},
        {"https:a.example", false},
        {"https:/a.example", false},
        {"https://", false},
        {"https://:443", false},
        {"https://a.example/", false},
        {"https://a.example:65536", false},
        {"https://a.example:-1", false},
        {"https://a.example:1:2", false},
        {"https://u@a.example", false},
        {"https://a b", false},
        {"https://[::1", false},
        {"https://[", false},
        {"https://[]", false},
        {"https://[::1]x", false},
        {"1http://a", false},
        {"ht tp://a", false},
        {"Same-Host", false},
        {" https://a", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool valid = ws_origin_rule_valid(cases[i].rule);
        if (valid != cases[i].valid) {
            fprintf(stderr, "case: %s\n", cases[i].rule);
        }
        CHECK_EQ(valid, cases[i].valid);
    }
}

static void
hosts_are_checked_whole(void)
{
    static const struct {
        const char *host;
        bool valid;
    } cases[] = {
        {"a", true},       {"a.example:80", true}, {"127.0.0.1", true},
        {"[::1]", true},   {"[::1]:80", true},     {"a:", true},
        {"a:65535", true}, {"x_y", true},          {"", false},
        {":80", false},    {"a:65536", false},     {"a:b", false},
        {"a b", false},    {"a,b", false},         {"a/", false},
        {"u@a", false},    {"::1", false},         {"[::1]80", false},
        {"[g::1]", false}, {"a\xC3\xA4", false},   {"a?", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool valid = ws_origin_host_valid(ws_slice_of(cases[i].host));
        if (valid != cases[i].valid) {
            fprintf(stderr, "case: %s\n", cases[i].host);
        }
        CHECK_EQ(valid, cases[i].valid);
    }
}

/* Never read beyond the slice, and none of it gets in by chance. */
static void
random_origins_are_refused(void)
{
    static const char letters[] = "htps:/.*a[]0@#-n\0";
    static const char *const rules[] = {"https://allowed.example", "same-host",
                                        "https://*.allowed.example"};
    uint32_t seed = 3;

    for (int round = 0; round < 100000; round++) {
        char *text = malloc(20);
        CHECK(text != NULL);
        for (size_t i = 0; i < 20; i++) {
            seed = seed * 1664525 + 1013904223;
            text[i] = letters[(seed >> 16) % sizeof letters];
        }
        size_t size = (seed >> 8) % 21;
        if (round % 2 == 0 && size >= 9) {
            memcpy(text + 20 - size, "https://[", 9);
        }
        ws_slice origin = {text + 20 - size, size};
        CHECK(
            !ws_origin_allowed(origin, ws_slice_of("own.example"), rules, 3));
        (void)ws_origin_host_valid(origin);
        free(text);
    }
}

static const ws_test TESTS[] = {
    TEST(rules_let_in_what_they_name), TEST(same_host_compares_host_and_port),
    TEST(any_rule_of_several_lets_in), TEST(rules_are_checked_before_use),
    TEST(hosts_are_checked_whole),     TEST(random_origins_are_refused),
};

TEST_MAIN(TESTS)
