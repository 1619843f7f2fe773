#include "proto/deflate_offer.h"

#include "check.h"
#include "proto/deflate.h"

#define LINE(value) "Sec-WebSocket-Extensions: " value "\r\n"
#define PMD "permessage-deflate"

enum { MALFORMED = -1 };

/* The window that is agreed on; 0: none, MALFORMED: the header is. */
static int
negotiate(const char *lines, ws_deflate_agreement *out)
{
    char text[4096];
    ws_http_request req;
    int size = snprintf(text, sizeof text, "GET / HTTP/1.1\r\n%s\r\n", lines);
    CHECK(size > 0 && (size_t)size < sizeof text);
    ws_http_init(&req);
    CHECK_EQ(ws_http_parse(&req, text, (size_t)size), WS_HTTP_COMPLETE);
    return ws_deflate_negotiate(&req, out) ? out->window_bits : MALFORMED;
}

typedef struct {
    const char *what;
    const char *lines;
    int bits;
    bool asked;
} offer_case;

static void
check_cases(const offer_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ws_deflate_agreement out;
        int bits = negotiate(cases[i].lines, &out);
        if (bits != cases[i].bits || out.bits_asked != cases[i].asked) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK_EQ(bits, cases[i].bits);
        CHECK_EQ(out.window_bits, bits > 0 ? bits : 0);
        CHECK_EQ(out.bits_asked, cases[i].asked);
    }
}

#define CHECK_CASES(cases) \
    check_cases((cases), sizeof(cases) / sizeof((cases)[0]))

static void
each_offer_is_taken_or_declined_by_its_parameters(void)
{
    static const offer_case cases[] = {
        {"no header", "", 0, false},
        {"an empty one", LINE(""), 0, false},
        {"another extension", LINE("x-other; a=b"), 0, false},
        {"bare", LINE(PMD), 15, false},
        {"as browsers do", LINE(PMD "; client_max_window_bits"), 15, false},
        {"all there is",
         LINE(PMD "; server_no_context_takeover; client_no_context_takeover; "
                  "server_max_window_bits=10; client_max_window_bits=12"),
         10, true},
        {"the largest", LINE(PMD "; server_max_window_bits=15"), 15, true},
        {"the smallest", LINE(PMD "; server_max_window_bits=9"), 9, true},
        {"one that zlib cannot do", LINE(PMD "; server_max_window_bits=8"), 0,
         false},
        {"the client's may be that", LINE(PMD "; client_max_window_bits=8"),
         15, false},
        {"too small", LINE(PMD "; server_max_window_bits=7"), 0, false},
        {"too large", LINE(PMD "; server_max_window_bits=16"), 0, false},
        {"far too large", LINE(PMD "; server_max_window_bits=100000000000"), 0,
         false},
        {"a leading zero", LINE(PMD "; server_max_window_bits=09"), 0, false},
        {"two of them", LINE(PMD "; client_max_window_bits=010"), 0, false},
        {"no number", LINE(PMD "; server_max_window_bits=1x"), 0, false},
        {"a sign", LINE(PMD "; server_max_window_bits=+9"), 0, false},
        {"no value", LINE(PMD "; server_max_window_bits"), 0, false},
        {"the client's too large", LINE(PMD "; client_max_window_bits=16"), 0,
         false},
        {"the client's too small", LINE(PMD "; client_max_window_bits=0"), 0,
         false},
        {"a value that must not be",
         LINE(PMD "; server_no_context_takeover=true"), 0, false},
        {"or here", LINE(PMD "; client_no_context_takeover=1"), 0, false},
        {"an unknown parameter", LINE(PMD "; turbo"), 0, false},
        {"another case", LINE(PMD "; Server_Max_Window_Bits=10"), 0, false},
        {"another name", LINE("Permessage-Deflate"), 0, false},
        {"its old name", LINE("x-webkit-deflate-frame"), 0, false},
        {"twice the same",
         LINE(PMD "; client_max_window_bits; client_max_window_bits"), 0,
         false},
        {"twice, with values",
         LINE(PMD "; server_max_window_bits=9; server_max_window_bits=9"), 0,
         false},
        {"twice a flag",
         LINE(PMD "; server_no_context_takeover; server_no_context_takeover"),
         0, false},
        {"twice the other flag",
         LINE(PMD "; client_no_context_takeover; client_no_context_takeover"),
         0, false},
    };
    CHECK_CASES(cases);
}

static void
the_first_good_offer_is_taken(void)
{
    static const offer_case cases[] = {
        {"two good ones", LINE(PMD "; server_max_window_bits=11, " PMD), 11,
         true},
        {"the other way round",
         LINE(PMD ", " PMD "; server_max_window_bits=11"), 15, false},
        {"a bad one first",
         LINE(PMD "; server_max_window_bits=8, " PMD
                  "; server_max_window_bits=12"),
         12, true},
        {"a bad one last",
         LINE(PMD "; server_max_window_bits=12, " PMD "; what"), 12, true},
        {"none good", LINE(PMD "; a, " PMD "; b, " PMD "; c"), 0, false},
        {"others between",
         LINE("a; x=1, " PMD "; server_max_window_bits=9; q, b, " PMD), 15,
         false},
        {"on lines of their own",
         LINE(PMD "; x") LINE("other") LINE(PMD "; server_max_window_bits=13"),
         13, true},
        {"the second line counts less",
         LINE(PMD "; server_max_window_bits=13") LINE(PMD), 13, true},
    };
    CHECK_CASES(cases);
}

static void
the_list_is_read_by_its_grammar(void)
{
    static const offer_case cases[] = {
        {"no blanks",
         LINE(PMD ";server_max_window_bits=10;client_max_window_"
                  "bits"),
         10, true},
        {"blanks and tabs",
         LINE("\t" PMD " \t;\t server_max_window_bits \t= 10 \t"), 10, true},
        {"empty items", LINE(",, " PMD " ,, ,"), 15, false},
        {"a quoted value", LINE(PMD "; server_max_window_bits=\"10\""), 10,
         true},
        {"with escapes", LINE(PMD "; server_max_window_bits=\"\\1\\0\""), 10,
         true},
        {"quoted, another's", LINE("a; b=\"c\"," PMD), 15, false},
        {"a quoted comma is no token", LINE("a; b=\"c,d\", " PMD), MALFORMED,
         false},
        {"nor an escaped one", LINE("a; b=\"c\\,d\", " PMD), MALFORMED, false},
        {"a quoted blank", LINE(PMD "; x=\"1 0\""), MALFORMED, false},
        {"quoted nothing", LINE(PMD "; x=\"\""), MALFORMED, false},
        {"an open quote", LINE(PMD "; x=\"10"), MALFORMED, false},
        {"an open escape", LINE(PMD "; x=\"10\\"), MALFORMED, false},
        {"behind the quotes", LINE(PMD "; x=\"10\"9"), MALFORMED, false},
        {"no value behind =", LINE(PMD "; x="), MALFORMED, false},
        {"nothing behind ;", LINE(PMD ";"), MALFORMED, false},
        {"nothing between", LINE(PMD ";; client_max_window_bits"), MALFORMED,
         false},
        {"no name", LINE("; x=1"), MALFORMED, false},
        {"no name but a value", LINE("=1"), MALFORMED, false},
        {"two words", LINE(PMD " " PMD), MALFORMED, false},
        {"two values", LINE(PMD "; x=1=2"), MALFORMED, false},
        {"no token", LINE("(" PMD ")"), MALFORMED, false},
        {"bytes above 0x7F", LINE("\xc3\xa4"), MALFORMED, false},
        {"a good offer first", LINE(PMD ", @"), MALFORMED, false},
        {"on another line", LINE(PMD) LINE("@"), MALFORMED, false},
    };
    CHECK_CASES(cases);
}

static void
the_answer_says_what_was_agreed_on(void)
{
    static const char always[] = PMD "; server_no_context_takeover; "
                                     "client_no_context_takeover";
    char out[WS_DEFLATE_RESPONSE_MAX];
    ws_deflate_response(&(ws_deflate_agreement){.window_bits = 15}, out);
    CHECK_STR_EQ(out, always);
    for (int bits = WS_DEFLATE_BITS_MIN; bits <= WS_DEFLATE_BITS_MAX; bits++) {
        char want[256];
        (void)snprintf(want, sizeof want, "%s; server_max_window_bits=%d",
                       always, bits);
        ws_deflate_response(
            &(ws_deflate_agreement){.window_bits = bits, .bits_asked = true},
            out);
        CHECK_STR_EQ(out, want);
    }
}

static const ws_test tests[] = {
    TEST(each_offer_is_taken_or_declined_by_its_parameters),
    TEST(the_first_good_offer_is_taken),
    TEST(the_list_is_read_by_its_grammar),
    TEST(the_answer_says_what_was_agreed_on),
};

TEST_MAIN(tests)
