/* Parameters of a query, against a decoder that decodes everything first. */
#include "proto/query.h"

#include "fuzz.h"
#include "reference_utf8.h"

enum { OUT_MAX = 24, NAMES = 4 };

static const char *const names[NAMES] = {"id", "user", "a b", "\xC3\xA9"};

typedef struct {
    bool broken; // a bad percent code
    size_t size;
    uint8_t bytes[4096];
} decoded;

static void
decode(decoded *out, const char *text, size_t size)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";

    *out = (decoded){.broken = false};
    for (size_t i = 0; i < size && !out->broken; i++) {
        uint8_t c = (uint8_t)text[i];
        if (c == '%') {
            const char *high =
                i + 2 < size ? memchr(digits, text[i + 1], 32) : NULL;
            const char *low =
                i + 2 < size ? memchr(digits, text[i + 2], 32) : NULL;
            out->broken = high == NULL || low == NULL;
            if (!out->broken) {
                c = (uint8_t)((high - digits) % 16 * 16 + (low - digits) % 16);
                i += 2;
            }
        } else if (c == '+') {
            c = ' ';
        }
        if (!out->broken) {
            out->bytes[out->size++] = c;
        }
    }
}

static bool
is_text(const decoded *value)
{
    if (!reference_utf8_look(value->bytes, value->size).valid) {
        return false;
    }
    for (size_t i = 0; i < value->size; i++) {
        bool c1 = value->bytes[i] == 0xC2 && value->bytes[i + 1] < 0xA0;
        if (value->bytes[i] < 0x20 || value->bytes[i] == 0x7F || c1) {
            return false;
        }
    }
    return true;
}

/* Longer than the buffer only counts while the rest of it is sound. */
static ws_query_result
judge(const decoded *value)
{
    if (value->size > OUT_MAX) {
        return WS_QUERY_TOO_LONG;
    }
    return value->broken || !is_text(value) ? WS_QUERY_INVALID
                                            : WS_QUERY_FOUND;
}

/* Whether one parameter has the name; its value is then in *value. */
static bool
is_named(const char *pair, size_t size, const char *name, decoded *value)
{
    decoded got;
    const char *equals = memchr(pair, '=', size);
    size_t name_size = equals != NULL ? (size_t)(equals - pair) : size;

    decode(&got, pair, name_size);
    if (got.broken || got.size != strlen(name) ||
        memcmp(got.bytes, name, got.size) != 0) {
        return false;
    }
    if (equals == NULL) {
        *value = (decoded){.broken = false};
    } else {
        decode(value, equals + 1, size - name_size - 1);
    }
    return true;
}

static ws_query_result
reference_get(const char *query, size_t size, const char *name, decoded *value)
{
    size_t count = 0;
    size_t start = 0;

    for (size_t i = 0; i <= size; i++) {
        if (i == size || query[i] == '&') {
            count += is_named(query + start, i - start, name, value);
            start = i + 1;
        }
    }
    return count == 0   ? WS_QUERY_MISSING
           : count == 1 ? judge(value)
                        : WS_QUERY_REPEATED;
}

static void
run(fuzz_input in)
{
    static decoded value;
    const char *name = names[fuzz_take_byte(&in) % NAMES];
    char *query = fuzz_copy(in.data, in.size);
    char *out = malloc(OUT_MAX);
    size_t size = SIZE_MAX;

    CHECK(out != NULL);
    ws_query_result got =
        ws_query_get((ws_slice){query, in.size}, name, out, OUT_MAX, &size);
    ws_query_result want = reference_get(query, in.size, name, &value);
    CHECK_EQ(got, want);
    CHECK_EQ(size, want == WS_QUERY_FOUND ? value.size : 0);
    CHECK_MEM_EQ(out, value.bytes, size);
    free(out);
    free(query);
}

FUZZ_MAIN(run)
