#include "proto/query.h"

#include <stdint.h>

#include "check.h"

static void
a_parameter_is_found_and_decoded(void)
{
    static const struct {
        const char *what;
        const char *query;
        ws_query_result result;
        const char *value;
    } cases[] = {
        {"alone", "id=42", WS_QUERY_FOUND, "42"},
        {"first", "id=42&a=b", WS_QUERY_FOUND, "42"},
        {"last", "a=b&id=42", WS_QUERY_FOUND, "42"},
        {"in the middle", "a&id=42&&c", WS_QUERY_FOUND, "42"},
        {"empty", "id=", WS_QUERY_FOUND, ""},
        {"without a value", "a&id&b", WS_QUERY_FOUND, ""},
        {"equal signs in it", "id=a=b==", WS_QUERY_FOUND, "a=b=="},
        {"a question mark in it", "id=a?b", WS_QUERY_FOUND, "a?b"},
        {"a plus", "id=a+b", WS_QUERY_FOUND, "a b"},
        {"a plus that is one", "id=a%2Bb", WS_QUERY_FOUND, "a+b"},
        {"a percent sign", "id=100%25", WS_QUERY_FOUND, "100%"},
        {"decoded once only", "id=%2541", WS_QUERY_FOUND, "%41"},
        {"an ampersand", "id=a%26b", WS_QUERY_FOUND, "a&b"},
        {"any case of digits", "id=%c3%A4%e2%82%AC", WS_QUERY_FOUND,
         "\xC3\xA4\xE2\x82\xAC"},
        {"the highest digits", "id=%C3%AF%c3%bf", WS_QUERY_FOUND,
         "\xC3\xAF\xC3\xBF"},
        {"raw UTF-8", "id=\xC3\xA4", WS_QUERY_FOUND, "\xC3\xA4"},
        {"U+00A0 is no control", "id=%C2%A0", WS_QUERY_FOUND, "\xC2\xA0"},
        {"an encoded name", "%69d=42", WS_QUERY_FOUND, "42"},
        {"others are malformed", "a=%zz&%=1&%F&id=42&=%00", WS_QUERY_FOUND,
         "42"},
        {"eight bytes", "id=12345678", WS_QUERY_FOUND, "12345678"},
        {"eight bytes, decoded", "id=%31%32%33%34%35%36%37%38", WS_QUERY_FOUND,
         "12345678"},

        {"no query", "", WS_QUERY_MISSING, ""},
        {"others only", "a=b&c", WS_QUERY_MISSING, ""},
        {"a longer name", "idx=42", WS_QUERY_MISSING, ""},
        {"a shorter name", "i=42", WS_QUERY_MISSING, ""},
        {"another case", "ID=42", WS_QUERY_MISSING, ""},
        {"in a value", "a=id=42", WS_QUERY_MISSING, ""},
        {"an encoded ampersand separates nothing", "a=b%26id=42",
         WS_QUERY_MISSING, ""},
        {"an encoded equal sign separates nothing", "id%3D42",
         WS_QUERY_MISSING, ""},
        {"twice", "id=42&id=42", WS_QUERY_REPEATED, ""},
        {"twice, once encoded", "id=1&%69%64=2", WS_QUERY_REPEATED, ""},
        {"twice, once empty", "id&id=1", WS_QUERY_REPEATED, ""},
        {"a byte too long", "id=123456789", WS_QUERY_TOO_LONG, ""},

        {"a percent sign alone", "id=%", WS_QUERY_INVALID, ""},
        {"half a code", "id=%4", WS_QUERY_INVALID, ""},
        {"half a code before the next", "id=%4&1=2", WS_QUERY_INVALID, ""},
        {"no digits", "id=%4g", WS_QUERY_INVALID, ""},
        {"a sign for a digit", "id=%+4", WS_QUERY_INVALID, ""},
        {"a NUL", "id=a%00", WS_QUERY_INVALID, ""},
        {"a new line", "id=a%0Ab", WS_QUERY_INVALID, ""},
        {"a tab", "id=%09", WS_QUERY_INVALID, ""},
        {"DEL", "id=%7F", WS_QUERY_INVALID, ""},
        {"U+0080", "id=%C2%80", WS_QUERY_INVALID, ""},
        {"U+009F", "id=%C2%9F", WS_QUERY_INVALID, ""},
        {"a byte of no character", "id=%FF", WS_QUERY_INVALID, ""},
        {"Latin-1", "id=%E4", WS_QUERY_INVALID, ""},
        {"an overlong NUL", "id=%C0%80", WS_QUERY_INVALID, ""},
        {"a surrogate", "id=%ED%A0%80", WS_QUERY_INVALID, ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *out = malloc(8);
        size_t size = 77;
        CHECK(out != NULL);
        ws_query_result result =
            ws_query_get(ws_slice_of(cases[i].query), "id", out, 8, &size);
        if (result != cases[i].result || size != strlen(cases[i].value)) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK_EQ(result, cases[i].result);
        CHECK_EQ(size, strlen(cases[i].value));
        CHECK(memcmp(out, cases[i].value, size) == 0);
        free(out);
    }
}

static void
a_buffer_of_nothing_holds_an_empty_value(void)
{
    size_t size;
    char out;

    CHECK_EQ(ws_query_get(ws_slice_of("i"), "i", &out, 0, &size),
             WS_QUERY_FOUND);
    CHECK_EQ(ws_query_get(ws_slice_of("id"), "id", &out, 0, &size),
             WS_QUERY_FOUND);
    CHECK_EQ(ws_query_get(ws_slice_of("id=1"), "id", &out, 0, &size),
             WS_QUERY_TOO_LONG);
    CHECK_EQ(ws_query_get((ws_slice){NULL, 0}, "id", &out, 0, &size),
             WS_QUERY_MISSING);
}

/* Never read beyond the query or written beyond the buffer, and what is found
   is clean. */
static void
random_queries_give_clean_values_or_none(void)
{
    static const char letters[] = "id=&%+0123456789abcdefCE\xC3\xA4\0";
    uint32_t seed = 11;
    int found = 0;

    for (int round = 0; round < 100000; round++) {
        char *query = malloc(24), *out = malloc(8);
        size_t size;
        CHECK(query != NULL && out != NULL);
        for (size_t i = 0; i < 24; i++) {
            seed = seed * 1664525 + 1013904223;
            query[i] = letters[(seed >> 16) % sizeof letters];
        }
        memcpy(query + (seed >> 8) % 20, "&id=", 4);
        ws_slice text = {query, 24};
        if (ws_query_get(text, "id", out, 8, &size) == WS_QUERY_FOUND) {
            found++;
            for (size_t i = 0; i < size; i++) {
                CHECK((unsigned char)out[i] >= ' ' && out[i] != 0x7F);
            }
        }
        free(query);
        free(out);
    }
    CHECK(found > 1000);
}

static const ws_test TESTS[] = {
    TEST(a_parameter_is_found_and_decoded),
    TEST(a_buffer_of_nothing_holds_an_empty_value),
    TEST(random_queries_give_clean_values_or_none),
};

TEST_MAIN(TESTS)
