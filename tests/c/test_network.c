#include "net/network.h"

#include "check.h"

static ws_network
address(const char *text)
{
    ws_network addr;
    CHECK(ws_network_parse_addr(ws_slice_of(text), &addr));
    return addr;
}

static bool
contains(const char *network, const char *addr)
{
    ws_network parsed;
    ws_network inside = address(addr);
    CHECK(ws_network_parse(network, &parsed) == NULL);
    return ws_network_contains(&parsed, 1, &inside);
}

static void
networks_contain_what_their_prefix_says(void)
{
    static const struct {
        const char *network, *addr;
        bool inside;
    } cases[] = {
        {"10.0.0.0/8", "10.255.1.2", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.9.8.7/8", "10.1.1.1", true}, // bits of the host do not count
        {"192.168.4.0/22", "192.168.7.255", true},
        {"192.168.4.0/22", "192.168.8.0", false},
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"0.0.0.0/0", "8.8.8.8", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "::1", true},
        {"::/0", "8.8.8.8", true}, // as the mapped address that it is
        {"::1", "::1", true},
        {"fd00::/9", "fd7f::1", true},
        {"fd00::/9", "fd80::1", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
        {"::ffff:10.1.2.3", "10.1.2.3", true},
        {"::ffff:10.0.0.0/104", "10.1.2.3", true},
        {"::ffff:10.0.0.0/104", "11.1.2.3", false},
        {"::ffff:0:0/96", "1.2.3.4", true},
        {"::ffff:0:0/96", "::1", false},
        {"unix:", "unix:/run/x", true},
        {"unix:", "127.0.0.1", false},
        {"0.0.0.0/0", "unix:", false},
        {"::/0", "unix:", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool inside = contains(cases[i].network, cases[i].addr);
        if (inside != cases[i].inside) {
            fprintf(stderr, "case: %s in %s\n", cases[i].addr,
                    cases[i].network);
        }
        CHECK_EQ(inside, cases[i].inside);
    }
}

static void
bad_networks_are_refused_with_a_reason(void)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", "is no IPv4 or IPv6 address"},
        {"localhost", "is no IPv4 or IPv6 address"},
        {"10.0.0", "is no IPv4 or IPv6 address"},
        {"10.0.0.0.0/8", "is no IPv4 or IPv6 address"},
        {"/8", "is no IPv4 or IPv6 address"},
        {"unix:/run/x", "is no IPv4 or IPv6 address"},
        {"1111111111222222222233333333334444444444555555555566666666667777",
         "is no IPv4 or IPv6 address"},
        {"10.0.0.0/", "has a bad prefix length"},
        {"10.0.0.0/33", "has a bad prefix length"},
        {"10.0.0.0/-1", "has a bad prefix length"},
        {"10.0.0.0/ 8", "has a bad prefix length"},
        {"10.0.0.0/8x", "has a bad prefix length"},
        {"10.0.0.0/99999999999999999999", "has a bad prefix length"},
        {"::1/129", "has a bad prefix length"},
        {"::ffff:10.0.0.0/129", "has a bad prefix length"},
    };
    ws_network ignored;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_STR_EQ(ws_network_parse(cases[i].text, &ignored),
                     cases[i].error);
    }
}

static void
addresses_are_read_as_proxies_write_them(void)
{
    static const struct {
        const char *text, *plain; // NULL: no address
    } cases[] = {
        {"1.2.3.4", "1.2.3.4"},
        {"1.2.3.4:80", "1.2.3.4"},
        {"::1", "::1"},
        {"2001:DB8::0:1", "2001:db8::1"},
        {"[2001:db8::1]", "2001:db8::1"},
        {"[2001:db8::1]:443", "2001:db8::1"},
        {"::ffff:1.2.3.4", "1.2.3.4"},
        {"fe80::1%eth0", "fe80::1"},
        {"unix:", "unix:"},
        {"unix:/run/x", "unix:"},
        {"", NULL},
        {"unknown", NULL},
        {"_hidden", NULL},
        {"1.2.3", NULL},
        {"1.2.3.4.5", NULL},
        {"1.2.3.4, 5.6.7.8", NULL},
        {"[::1", NULL},
        {"[::1]x", NULL},
        {"[1.2.3.4]", NULL},
        {"[", NULL},
        {"11111111112222222222333333333344444444445555555555666666666677777",
         NULL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ws_network addr;
        char plain[64];
        bool good = ws_network_parse_addr(ws_slice_of(cases[i].text), &addr);
        if (good != (cases[i].plain != NULL)) {
            fprintf(stderr, "case: \"%s\"\n", cases[i].text);
        }
        CHECK_EQ(good, cases[i].plain != NULL);
        if (good) {
            ws_network_format(&addr, plain);
            CHECK_STR_EQ(plain, cases[i].plain);
        }
    }
}

static void
a_slice_is_not_read_past_its_end(void)
{
    ws_network addr;
    char plain[64];
    char *exact = malloc(7); // so that a sanitizer sees one byte too many
    memcpy(exact, "1.2.3.4", 7);
    CHECK(ws_network_parse_addr((ws_slice){exact, 7}, &addr));
    ws_network_format(&addr, plain);
    CHECK_STR_EQ(plain, "1.2.3.4");
    CHECK(!ws_network_parse_addr((ws_slice){"1.2.3.4\0", 8}, &addr));
    CHECK(!ws_network_parse_addr((ws_slice){NULL, 0}, &addr));
    free(exact);
}

static void
one_of_many_networks_is_enough(void)
{
    ws_network networks[3];
    CHECK(ws_network_parse("10.0.0.0/8", &networks[0]) == NULL);
    CHECK(ws_network_parse("unix:", &networks[1]) == NULL);
    CHECK(ws_network_parse("fd00::/8", &networks[2]) == NULL);
    ws_network in = address("fd01::1");
    ws_network out = address("8.8.8.8");
    CHECK(ws_network_contains(networks, 3, &in));
    CHECK(!ws_network_contains(networks, 3, &out));
    CHECK(!ws_network_contains(networks, 0, &in));
}

static const ws_test tests[] = {
    TEST(networks_contain_what_their_prefix_says),
    TEST(bad_networks_are_refused_with_a_reason),
    TEST(addresses_are_read_as_proxies_write_them),
    TEST(a_slice_is_not_read_past_its_end),
    TEST(one_of_many_networks_is_enough),
};

TEST_MAIN(tests)
