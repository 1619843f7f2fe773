#include "query.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "utf8.h"

/* The value of a hexadecimal digit, or -1. */
static int
hex(char c)
{
    if (ws_slice_is_digit(c)) {
        return c - '0';
    }
    char low = ws_slice_lower(c);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* Decodes and takes the first character of a non-empty text: 0 to 255, or -1
   for a bad percent code. */
static int
decode(ws_slice *text)
{
    char c = text->data[0];

    if (c != '%') {
        *text = ws_slice_from(*text, 1);
        return c == '+' ? ' ' : (unsigned char)c;
    }
    if (text->size < 3 || hex(text->data[1]) < 0 || hex(text->data[2]) < 0) {
        return -1;
    }
    int value = hex(text->data[1]) * 16 + hex(text->data[2]);
    *text = ws_slice_from(*text, 3);
    return value;
}

static bool
decodes_to(ws_slice text, const char *name)
{
    for (; text.size > 0 && *name != '\0'; name++) {
        if (decode(&text) != (unsigned char)*name) {
            return false;
        }
    }
    return text.size == 0 && *name == '\0';
}

/* C0, DEL and, of what is UTF-8, C1. */
static bool
has_control(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        unsigned char before = i > 0 ? (unsigned char)text[i - 1] : 0;
        if (c < ' ' || c == 0x7F || (before == 0xC2 && c < 0xA0)) {
            return true;
        }
    }
    return false;
}

static ws_query_result
decode_value(ws_slice text, char *out, size_t out_max, size_t *out_size)
{
    size_t size = 0;

    while (text.size > 0) {
        int c = decode(&text);
        if (c < 0) {
            return WS_QUERY_INVALID;
        }
        if (size == out_max) {
            return WS_QUERY_TOO_LONG;
        }
        out[size++] = (char)c;
    }
    if (has_control(out, size) || !ws_utf8_valid((const uint8_t *)out, size)) {
        return WS_QUERY_INVALID;
    }
    *out_size = size;
    return WS_QUERY_FOUND;
}

ws_query_result
ws_query_get(ws_slice query, const char *name, char *out, size_t out_max,
             size_t *out_size)
{
    ws_slice found = {NULL, 0};
    size_t count = 0;

    assert(name[0] != '\0');
    *out_size = 0;
    while (query.size > 0) {
        size_t end = ws_slice_index(query, '&');
        ws_slice pair = {query.data, end};
        size_t equals = ws_slice_index(pair, '=');
        if (decodes_to((ws_slice){pair.data, equals}, name)) {
            found = ws_slice_from(pair, equals < end ? equals + 1 : end);
            count++;
        }
        query = ws_slice_from(query, end < query.size ? end + 1 : end);
    }
    if (count != 1) {
        return count == 0 ? WS_QUERY_MISSING : WS_QUERY_REPEATED;
    }
    return decode_value(found, out, out_max, out_size);
}
