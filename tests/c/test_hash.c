#include "core/hash.h"

#include <string.h>

#include "check.h"

/* The key bytes 00 01 02 ... 0f. */
static const ws_hash_key COUNTING = {UINT64_C(0x0706050403020100),
                                     UINT64_C(0x0f0e0d0c0b0a0908)};

/* SipHash-1-3 of 00 01 02 ..., by length: a model in another language that
   agrees with CPython's hash() of bytes under several PYTHONHASHSEEDs. */
static void
lengths_agree_with_the_published_algorithm(void)
{
    static const struct {
        size_t size;
        uint64_t hash;
    } cases[] = {
        {0, UINT64_C(0xabac0158050fc4dc)},  {1, UINT64_C(0xc9f49bf37d57ca93)},
        {2, UINT64_C(0x82cb9b024dc7d44d)},  {3, UINT64_C(0x8bf80ab8e7ddf7fb)},
        {4, UINT64_C(0xcf75576088d38328)},  {5, UINT64_C(0xdef9d52f49533b67)},
        {6, UINT64_C(0xc50d2b50c59f22a7)},  {7, UINT64_C(0xd3927d989bb11140)},
        {8, UINT64_C(0x369095118d299a8e)},  {9, UINT64_C(0x25a48eb36c063de4)},
        {10, UINT64_C(0x79de85ee92ff097f)}, {11, UINT64_C(0x70c118c1f94dc352)},
        {12, UINT64_C(0x78a384b157b4d9a2)}, {13, UINT64_C(0x306f760c1229ffa7)},
        {14, UINT64_C(0x605aa111c0f95d34)}, {15, UINT64_C(0xd320d86d2a519956)},
        {16, UINT64_C(0xcc4fdd1a7d908b66)}, {17, UINT64_C(0x9cf2689063dbd80c)},
        {63, UINT64_C(0x9d199062b7bbb3a8)},
    };
    uint8_t data[64];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)i;
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_EQ(ws_hash(COUNTING, data, cases[i].size), cases[i].hash);
    }
}

/* What `PYTHONHASHSEED=seed python3 -c "print(hash(b'...'))"` prints, as an
   unsigned number (CPython 3.11 and later, 64 bits). */
static void
strings_agree_with_cpython(void)
{
    static const ws_hash_key seed_0 = {0, 0};
    static const ws_hash_key seed_42 = {UINT64_C(0xdc504fd368cd90af),
                                        UINT64_C(0xb920bb9ffe99e9c1)};
    const struct {
        const char *what;
        ws_hash_key key;
        const char *text;
        uint64_t hash;
    } cases[] = {
        {"one byte", seed_0, "a", UINT64_C(0x407448d2b89b1813)},
        {"three", seed_0, "abc", UINT64_C(0xc03bc3a0042630f2)},
        {"an id", seed_0, "user-42", UINT64_C(0x36d7c057cbcbb4a2)},
        {"a word", seed_0, "12345678", UINT64_C(0x3489982430560a87)},
        {"one more", seed_0, "123456789", UINT64_C(0x0fbc0f0007965fcf)},
        {"one byte", seed_42, "a", UINT64_C(0xfe4a47335692551e)},
        {"an id", seed_42, "user-42", UINT64_C(0x65bae06310225e5e)},
        {"a word", seed_42, "12345678", UINT64_C(0x84eb586ab30cc7f5)},
        {"one more", seed_42, "123456789", UINT64_C(0x2cc2cece25c33444)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t hash =
            ws_hash(cases[i].key, cases[i].text, strlen(cases[i].text));
        if (hash != cases[i].hash) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK_EQ(hash, cases[i].hash);
    }
}

/* Only the low byte of the length goes into the last word. */
static void
lengths_around_256_agree_with_cpython(void)
{
    static const ws_hash_key zero = {0, 0};
    char data[300];
    memset(data, 'x', sizeof data);
    CHECK_EQ(ws_hash(zero, data, 255), UINT64_C(0x4bd34c40ef7d284b));
    memset(data, 'y', sizeof data);
    CHECK_EQ(ws_hash(zero, data, 256), UINT64_C(0x46e8a317a9cb30f4));
    memset(data, 'z', sizeof data);
    CHECK_EQ(ws_hash(zero, data, 300), UINT64_C(0xd31697d12fe9e73a));
}

static void
alignment_does_not_matter(void)
{
    char data[64] = {0};
    for (size_t at = 0; at < 16; at++) {
        memcpy(data + at, "user-42 and more of it", 22);
        CHECK_EQ(ws_hash(COUNTING, data + at, 22),
                 ws_hash(COUNTING, "user-42 and more of it", 22));
    }
}

static void
random_keys_differ(void)
{
    ws_hash_key a = ws_hash_random_key();
    ws_hash_key b = ws_hash_random_key();
    CHECK(a.k0 != b.k0 || a.k1 != b.k1);
    CHECK(ws_hash(a, "x", 1) != ws_hash(b, "x", 1));
}

static const ws_test tests[] = {
    TEST(lengths_agree_with_the_published_algorithm),
    TEST(strings_agree_with_cpython),
    TEST(lengths_around_256_agree_with_cpython),
    TEST(alignment_does_not_matter),
    TEST(random_keys_differ),
};

TEST_MAIN(tests)
