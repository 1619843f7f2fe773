/* UTF-8: whole, in pieces, byte by byte, and by a second opinion. */
#include "proto/utf8.h"

#include "fuzz.h"
#include "reference_utf8.h"

typedef struct {
    bool good;       // as the last piece's answer says
    bool complete;   // and nothing is open
    size_t first_no; // bytes fed when it first said no, else SIZE_MAX
} verdict;

static verdict
feed(fuzz_input in, fuzz_cuts cuts)
{
    ws_utf8 utf8;
    verdict v = {.good = true, .first_no = SIZE_MAX};
    size_t at = 0;

    ws_utf8_init(&utf8);
    while (at < in.size) {
        size_t size = fuzz_next_piece(&cuts, in.size - at);
        uint8_t *piece = fuzz_copy(in.data + at, size);
        bool good = ws_utf8_feed(&utf8, piece, size);
        CHECK(v.good || !good);
        v.good = good;
        at += size;
        if (!good && v.first_no == SIZE_MAX) {
            v.first_no = at;
        }
        free(piece);
    }
    v.complete = ws_utf8_complete(&utf8);
    return v;
}

static void
check_error(const uint8_t *data, size_t size, reference_utf8 want)
{
    ws_utf8_error got = ws_utf8_error_at(data, size);

    if (want.valid) {
        CHECK(got.start == SIZE_MAX);
        return;
    }
    bool bad_start = want.good_end == want.start;
    CHECK_EQ(got.start, want.start);
    CHECK_EQ(got.end, bad_start ? want.start + 1 : want.good_end);
    CHECK_STR_EQ(got.reason, bad_start  ? "invalid start byte"
                             : want.bad ? "invalid continuation byte"
                                        : "unexpected end of data");
}

static void
run(fuzz_input in)
{
    fuzz_cuts cuts = fuzz_take_cuts(&in);
    uint8_t *data = fuzz_copy(in.data, in.size);
    reference_utf8 want = reference_utf8_look(data, in.size);

    CHECK_EQ(ws_utf8_valid(data, in.size), want.valid);
    check_error(data, in.size, want);

    verdict pieces = feed(in, cuts);
    verdict bytes = feed(in, (fuzz_cuts){.bytewise = true});
    CHECK_EQ(pieces.good, !want.bad);
    CHECK_EQ(pieces.good && pieces.complete, want.valid);
    CHECK_EQ(bytes.good, !want.bad);
    CHECK_EQ(bytes.good && bytes.complete, want.valid);
    CHECK(!want.bad || bytes.first_no == want.good_end + 1);
    free(data);
}

FUZZ_MAIN(run)
