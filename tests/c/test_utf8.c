#include "proto/utf8.h"

#include "check.h"

/* Where the table of well-formed bytes changes its mind, and the neighbours.
 */
static const uint8_t EDGES[] = {
    0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
    0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE,
    0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF8, 0xFF,
};
enum { EDGE_COUNT = sizeof EDGES };

/*
 * The reference: no table of ranges, but arithmetic on code points. A lead
 * byte says how many bytes there are; those that are there leave a range of
 * code points, some of which must be allowed for that number of bytes.
 */
static size_t
ref_length(uint8_t lead)
{
    for (size_t ones = 0; ones < 8; ones++) {
        if ((lead & (0x80 >> ones)) == 0) {
            return ones == 0 ? 1 : ones >= 2 && ones <= 4 ? ones : 0;
        }
    }
    return 0;
}

static bool
ref_some_allowed(uint32_t low, uint32_t high, size_t length)
{
    static const uint32_t shortest[] = {0, 0, 0x80, 0x800, 0x10000};

    low = low < shortest[length] ? shortest[length] : low;
    high = high > 0x10FFFF ? 0x10FFFF : high;
    return low <= high && !(low >= 0xD800 && high <= 0xDFFF);
}

/* Whether `size` bytes can begin one sequence of *length bytes. */
static bool
ref_begins(const uint8_t *data, size_t size, size_t *length)
{
    *length = ref_length(data[0]);
    if (*length == 0 || size > *length) {
        return false;
    }
    uint32_t low = *length == 1 ? data[0] : data[0] & (0x7FU >> *length);
    uint32_t high = low;
    for (size_t i = 1; i < *length; i++) {
        if (i < size && (data[i] & 0xC0) != 0x80) {
            return false;
        }
        low = low << 6 | (i < size ? data[i] & 0x3FU : 0);
        high = high << 6 | (i < size ? data[i] & 0x3FU : 0x3F);
    }
    return ref_some_allowed(low, high, *length);
}

/* The index of the first byte that cannot be part of valid text, or `size`;
 *complete tells whether the text may end behind it. */
static size_t
ref_first_bad(const uint8_t *data, size_t size, bool *complete)
{
    size_t start = 0, length = 0;

    *complete = true;
    for (size_t at = 0; at < size; at++) {
        if (!ref_begins(data + start, at + 1 - start, &length)) {
            *complete = false;
            return at;
        }
        *complete = at + 1 - start == length;
        start = *complete ? at + 1 : start;
    }
    return size;
}

/* The same, by feeding the bytes one by one. */
static size_t
fed_first_bad(const uint8_t *data, size_t size, bool *complete)
{
    ws_utf8 utf8;
    size_t at = 0;

    ws_utf8_init(&utf8);
    while (at < size && ws_utf8_feed(&utf8, data + at, 1)) {
        at++;
    }
    *complete = ws_utf8_complete(&utf8);
    return at;
}

static void
check_one(const uint8_t *data, size_t size)
{
    bool want_complete, complete;
    size_t want = ref_first_bad(data, size, &want_complete);

    CHECK_EQ(fed_first_bad(data, size, &complete), want);
    CHECK_EQ(complete, want_complete);
    CHECK_EQ(ws_utf8_valid(data, size), want == size && want_complete);
    for (size_t cut = 0; cut <= size; cut++) {
        ws_utf8 utf8;
        ws_utf8_init(&utf8);
        bool good = ws_utf8_feed(&utf8, data, cut);
        CHECK_EQ(good, want >= cut);
        good = ws_utf8_feed(&utf8, data + cut, size - cut);
        CHECK_EQ(good, want == size);
        CHECK_EQ(ws_utf8_complete(&utf8), want_complete);
    }
}

static void
every_one_and_two_bytes_match_the_reference(void)
{
    for (unsigned i = 0; i < 0x10000; i++) {
        uint8_t data[] = {(uint8_t)(i >> 8), (uint8_t)i};
        check_one(data, 1);
        check_one(data, 2);
    }
}

static void
three_bytes_match_the_reference(void)
{
    for (unsigned i = 0x8000; i < 0x10000; i++) {
        for (size_t k = 0; k < EDGE_COUNT; k++) {
            uint8_t data[] = {(uint8_t)(i >> 8), (uint8_t)i, EDGES[k]};
            check_one(data, sizeof data);
        }
    }
}

static void
four_bytes_match_the_reference_at_all_edges(void)
{
    for (size_t i = 0; i < EDGE_COUNT * EDGE_COUNT; i++) {
        for (size_t k = 0; k < EDGE_COUNT * EDGE_COUNT; k++) {
            uint8_t data[] = {EDGES[i / EDGE_COUNT], EDGES[i % EDGE_COUNT],
                              EDGES[k / EDGE_COUNT], EDGES[k % EDGE_COUNT]};
            check_one(data, sizeof data);
        }
    }
}

static size_t
encode(uint32_t point, uint8_t *out, size_t length)
{
    static const uint8_t marks[] = {0, 0, 0xC0, 0xE0, 0xF0};

    for (size_t i = length; i-- > 1; point >>= 6) {
        out[i] = (uint8_t)(0x80 | (point & 0x3F));
    }
    out[0] = (uint8_t)(marks[length] | point);
    return length;
}

static void
every_code_point_passes_in_its_shortest_form_only(void)
{
    static const uint32_t shortest[] = {0, 0, 0x80, 0x800, 0x10000, 0x110000};

    for (uint32_t point = 0; point < 0x110000 + 0x1000; point++) {
        for (size_t length = 1; length <= 4; length++) {
            if (point >= shortest[5] ? length < 4
                                     : point >= shortest[length + 1]) {
                continue; // does not fit in so few bytes
            }
            uint8_t data[4];
            size_t size = encode(point, data, length);
            bool surrogate = point >= 0xD800 && point <= 0xDFFF;
            bool want =
                point >= shortest[length] && point <= 0x10FFFF && !surrogate;
            CHECK_EQ(ws_utf8_valid(data, size), want);
        }
    }
}

/* At each place of words of eight, wherever those begin in memory. */
static void
a_bad_byte_is_found_anywhere_in_ascii(void)
{
    for (size_t offset = 0; offset < 8; offset++) {
        for (size_t size = 1; size < 70; size++) {
            uint8_t *buffer = malloc(offset + size);
            uint8_t *text = buffer + offset;
            CHECK(buffer != NULL);
            memset(text, 'a', size);
            CHECK(ws_utf8_valid(text, size));
            for (size_t bad = 0; bad < size; bad++) {
                bool complete;
                text[bad] = 0xFF;
                CHECK(!ws_utf8_valid(text, size));
                CHECK_EQ(ws_utf8_error_at(text, size).start, bad);
                CHECK_EQ(fed_first_bad(text, size, &complete), bad);
                text[bad] = 'a';
            }
            free(buffer);
        }
    }
}

static void
long_text_may_be_cut_anywhere(void)
{
    static const char text[] =
        "plain ASCII of some length, then \xC3\xA4\xC3\xB6\xC3\xBC, "
        "\xE2\x82\xAC and \xF0\x9F\x98\x80\xF0\x9F\x98\x80; and more ASCII";
    const uint8_t *data = (const uint8_t *)text;
    size_t size = sizeof text - 1;

    for (size_t a = 0; a <= size; a++) {
        for (size_t b = a; b <= size; b++) {
            ws_utf8 utf8;
            ws_utf8_init(&utf8);
            CHECK(ws_utf8_feed(&utf8, data, a));
            CHECK(ws_utf8_feed(&utf8, data + a, b - a));
            CHECK(ws_utf8_feed(&utf8, data + b, size - b));
            CHECK(ws_utf8_complete(&utf8));
        }
    }
}

static void
a_failure_is_for_good(void)
{
    static const uint8_t bad = 0x80, good = 'a';
    ws_utf8 utf8;

    ws_utf8_init(&utf8);
    CHECK(ws_utf8_complete(&utf8));
    CHECK(!ws_utf8_feed(&utf8, &bad, 1));
    for (int i = 0; i < 3; i++) {
        CHECK(!ws_utf8_feed(&utf8, &good, 1));
        CHECK(!ws_utf8_feed(&utf8, &good, 0));
        CHECK(!ws_utf8_complete(&utf8));
    }
}

/* What CPython 3.11 says of the same bytes. */
static void
errors_are_told_as_python_tells_them(void)
{
    static const struct {
        const char *what;
        const char *text;
        size_t start, end;
        const char *reason;
    } cases[] = {
        {"nothing wrong", "abc", SIZE_MAX, SIZE_MAX, "valid"},
        {"empty", "", SIZE_MAX, SIZE_MAX, "valid"},
        {"a stray continuation", "ab\x80", 2, 3, "invalid start byte"},
        {"a byte of no sequence", "\xFF", 0, 1, "invalid start byte"},
        {"an overlong of two", "a\xC0\x80", 1, 2, "invalid start byte"},
        {"an overlong of three", "a\xE0\x80\x80", 1, 2,
         "invalid continuation byte"},
        {"a surrogate", "\xED\xA0\x80", 0, 1, "invalid continuation byte"},
        {"too high", "\xF4\x90\x80\x80", 0, 1, "invalid continuation byte"},
        {"broken off by a letter", "x\xE2\x82y", 1, 3,
         "invalid continuation byte"},
        {"broken off by the end", "x\xE2\x82", 1, 3, "unexpected end of data"},
        {"four, broken off by the end", "\xF0\x9F\x98", 0, 3,
         "unexpected end of data"},
        {"the first of two", "\xC3\xA4\x80\xFF", 2, 3, "invalid start byte"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ws_utf8_error error = ws_utf8_error_at((const uint8_t *)cases[i].text,
                                               strlen(cases[i].text));
        if (error.start != cases[i].start || error.end != cases[i].end ||
            strcmp(error.reason, cases[i].reason) != 0) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK_EQ(error.start, cases[i].start);
        CHECK_EQ(error.end, cases[i].end);
        CHECK(strcmp(error.reason, cases[i].reason) == 0);
    }
}

static void
random_bytes_match_the_reference(void)
{
    uint32_t seed = 20240607;

    for (int round = 0; round < 200000; round++) {
        uint8_t data[24];
        size_t size = 0;
        while (size < sizeof data - 4) {
            seed = seed * 1664525 + 1013904223;
            uint32_t dice = seed >> 8;
            data[size++] = dice % 8 == 0 ? (uint8_t)(dice >> 8)
                                         : (uint8_t)('a' + dice % 26);
            if (dice % 3 == 0) { // mostly good sequences
                uint32_t point = 0x80 + (dice >> 4) % 0xFFF0;
                size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
                size += encode(point, data + size, length);
            }
            if (dice % 11 == 0) {
                break;
            }
        }
        bool complete;
        size_t bad = ref_first_bad(data, size, &complete);
        bool want = bad == size && complete;
        CHECK_EQ(ws_utf8_valid(data, size), want);
        CHECK_EQ(ws_utf8_error_at(data, size).start == SIZE_MAX, want);
    }
}

static const ws_test TESTS[] = {
    TEST(every_one_and_two_bytes_match_the_reference),
    TEST(three_bytes_match_the_reference),
    TEST(four_bytes_match_the_reference_at_all_edges),
    TEST(every_code_point_passes_in_its_shortest_form_only),
    TEST(a_bad_byte_is_found_anywhere_in_ascii),
    TEST(long_text_may_be_cut_anywhere),
    TEST(a_failure_is_for_good),
    TEST(errors_are_told_as_python_tells_them),
    TEST(random_bytes_match_the_reference),
};

TEST_MAIN(TESTS)
