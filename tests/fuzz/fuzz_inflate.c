/* Compressed messages of strangers: in any pieces, into any room, after any
   other message, and by a second opinion that has all of it before it. */
#include "core/alloc.h"
#include "inflating.h"
#include "reference_inflate.h"

enum {
    MOST = 40000,          // bytes that are wanted of a message
    BYTEWISE_MOST = 1000,  // of one that comes and goes byte by byte
    STATE_MAX = 48 * 1024, // bytes that an inflater may own
};

static void *
allocate(size_t size)
{
    return ws_malloc(size);
}

static const ws_heap heap = {allocate, ws_free};

static void
check_result(const inflated *got, const reference_inflated *want)
{
    size_t common = want->over ? want->size : got->size;

    CHECK_EQ(got->size > MOST, want->over);
    CHECK(got->size >= common && want->size >= common);
    CHECK_EQ(common, want->size);
    CHECK_MEM_EQ(got->data, want->data, common);
    if (!want->over) {
        CHECK_EQ(got->result, want->bad ? WS_INFLATE_BAD : WS_INFLATE_DONE);
    }
}

static void
check_run(ws_inflater *inflater, fuzz_input in, fuzz_cuts cuts,
          fuzz_cuts rooms, const reference_inflated *want)
{
    inflated got = inflate_all(inflater, in.data, in.size, cuts, rooms, MOST);

    check_result(&got, want);
    CHECK(ws_alloc_bytes() <= STATE_MAX);
    inflated_free(&got);
}

/* A message may fail of the memory alone, whenever that is; what came until
   then is right, and the next message is as good as any. */
static void
check_without_memory(fuzz_input in, fuzz_cuts cuts, fuzz_cuts rooms, long n,
                     const reference_inflated *want)
{
    ws_alloc_fail_at(n);
    ws_inflater *inflater = ws_inflater_new(&heap);
    if (inflater != NULL) {
        inflated got =
            inflate_all(inflater, in.data, in.size, cuts, rooms, MOST);
        ws_alloc_fail_at(-1);
        if (got.result == WS_INFLATE_NOMEM) {
            CHECK(got.size <= want->size || want->over);
            CHECK_MEM_EQ(got.data, want->data,
                         got.size < want->size ? got.size : want->size);
        } else {
            check_result(&got, want);
        }
        inflated_free(&got);
        ws_inflater_reset(inflater);
        check_run(inflater, in, cuts, rooms, want);
    }
    ws_alloc_fail_at(-1);
    ws_inflater_free(inflater);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
run(fuzz_input in)
{
    fuzz_cuts cuts = fuzz_take_cuts(&in);
    fuzz_cuts rooms = fuzz_take_cuts(&in);
    size_t before = fuzz_take_byte(&in);
    long fails = fuzz_take_byte(&in) % 5;
    fuzz_cuts bytewise = {.bytewise = true};
    reference_inflated want = reference_inflate(in.data, in.size, true, MOST);
    ws_inflater *inflater = ws_inflater_new(&heap);
    CHECK(inflater != NULL);

    // Whatever becomes of another message that is a part of this one.
    before = before < in.size ? before : in.size;
    inflated other = inflate_all(inflater, in.data, before, cuts, rooms, MOST);
    inflated_free(&other);
    ws_inflater_reset(inflater);
    check_run(inflater, in, (fuzz_cuts){.count = 0}, rooms, &want);
    ws_inflater_reset(inflater);
    check_run(inflater, in, cuts, rooms, &want);
    if (want.size <= BYTEWISE_MOST) {
        ws_inflater_reset(inflater);
        check_run(inflater, in, bytewise, bytewise, &want);
    }
    ws_inflater_free(inflater);
    CHECK_EQ(ws_alloc_live(), 0);
    if (fails > 0) {
        check_without_memory(in, cuts, rooms, fails - 1, &want);
    }
    reference_inflated_free(&want);
}

FUZZ_MAIN(run)
