#include "net/identity.h"

#include <errno.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>

#include "core/alloc.h"
#include "pem.h"

static ws_identity *
load(const char *cert, const char *key, const char *ca)
{
    ws_identity_error error = {0};
    ws_identity_files files = {cert, key, ca};
    ws_identity *id = ws_identity_load(&files, &error);
    if (id == NULL) {
        fprintf(stderr, "%s %s: %s\n", error.argument, error.file, error.text);
    }
    return id;
}

static void
end(ws_identity *id)
{
    ws_identity_free(id);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
certificate_and_key_may_be_in_one_file_or_two(void)
{
    pem_pair pair = pem_make("localhost", NULL, false);
    const char *both = pem_write_pair("both", &pair);
    const char *cert = pem_write_cert("cert", "w", pair.cert);
    const char *key = pem_write_key("key", "w", pair.key, NULL);
    ws_identity *id = load(both, NULL, NULL);
    CHECK(id != NULL);
    end(id);
    id = load(cert, key, NULL);
    CHECK(id != NULL);
    end(id);
    id = load(cert, both, both);
    CHECK(id != NULL);
    end(id);
    (void)pem_write_cert("turned", "w", pair.cert);
    id = load(pem_write_key("turned", "a", pair.key, NULL), NULL, NULL);
    CHECK(id != NULL);
    end(id);
    pem_free(&pair);
}

/* ---- files that are wrong */

typedef struct wrong {
    const char *what;
    const char *cert, *key, *ca;
    int err;
    const char *argument, *text;
} wrong;

static void
check_wrong(const wrong *w)
{
    ws_identity_error error = {0};
    ws_identity_files files = {w->cert, w->key, w->ca};
    ws_identity *id = ws_identity_load(&files, &error);
    fprintf(stderr, "%s: %s\n", w->what, error.text);
    CHECK(id == NULL);
    CHECK_EQ(error.err, w->err);
    CHECK_STR_EQ(error.argument, w->argument);
    CHECK(strstr(error.text, w->text) != NULL);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
a_file_that_is_wrong_is_named_with_what_is_wrong(void)
{
    pem_pair pair = pem_make("localhost", NULL, false);
    pem_pair other = pem_make("other", NULL, false);
    pem_pair weak = pem_make_with(EVP_RSA_gen(512), "localhost", NULL, false);
    const char *good = pem_write_pair("good", &pair);
    const char *cert = pem_write_cert("cert", "w", pair.cert);
    const char *key = pem_write_key("key", "w", pair.key, NULL);
    const char *secret = pem_write_key("secret", "w", pair.key, "x");
    const char *alien = pem_write_key("alien", "w", other.key, NULL);
    const char *bad_cert =
        pem_write_text("bad", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END "
                              "CERTIFICATE-----\n");
    const char *bad_key =
        pem_write_text("badkey", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END "
                                 "PRIVATE KEY-----\n");
    const char *text = pem_write_text("text", "hello\n");
    const char *empty = pem_write_text("empty", "");
    const char *short_key = pem_write_pair("weak", &weak);
    const wrong all[] = {
        {"missing", "/nonexistent", NULL, NULL, ENOENT, "tls_cert", ""},
        {"key missing", cert, "/nonexistent", NULL, ENOENT, "tls_key", ""},
        {"a folder", "/tmp", NULL, NULL, EISDIR, "tls_cert", ""},
        {"ca missing", good, NULL, "/no", ENOENT, "tls_client_ca", ""},
        {"no PEM", text, NULL, NULL, 0, "tls_cert", "is not a PEM file"},
        {"empty", empty, NULL, NULL, 0, "tls_cert", "is not a PEM file"},
        {"no cert", key, NULL, NULL, 0, "tls_cert", "holds no certificate"},
        {"no key", cert, NULL, NULL, 0, "tls_cert", "holds no private key"},
        {"no key there", cert, cert, NULL, 0, "tls_key",
         "holds no private key"},
        {"key no PEM", cert, text, NULL, 0, "tls_key", "is not a PEM file"},
        {"encrypted", cert, secret, NULL, 0, "tls_key", "encrypted"},
        {"other key", cert, alien, NULL, 0, "tls_key", "does not belong"},
        {"bad cert", bad_cert, NULL, NULL, 0, "tls_cert", "cannot be read"},
        {"bad key", cert, bad_key, NULL, 0, "tls_key", "cannot be read"},
        {"short key", short_key, NULL, NULL, 0, "tls_cert", "too small"},
        {"ca no cert", good, NULL, key, 0, "tls_client_ca",
         "holds no certificate"},
        {"ca no PEM", good, NULL, text, 0, "tls_client_ca",
         "is not a PEM file"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        check_wrong(&all[i]);
    }
    pem_free(&pair);
    pem_free(&other);
    pem_free(&weak);
}

static void
a_file_without_end_is_refused(void)
{
    const wrong endless = {"endless", "/dev/zero", NULL, NULL,
                           EFBIG,     "tls_cert",  ""};
    check_wrong(&endless);
}

static void
out_of_memory_is_told_and_leaks_nothing(void)
{
    pem_pair pair = pem_make("localhost", NULL, false);
    const char *both = pem_write_pair("both", &pair);
    ws_identity *id = NULL;
    for (long n = 0; id == NULL; n++) {
        ws_identity_error error = {0};
        ws_identity_files files = {both, NULL, both};
        ws_alloc_fail_at(n);
        id = ws_identity_load(&files, &error);
        ws_alloc_fail_at(-1);
        CHECK(id != NULL || error.err == ENOMEM);
        CHECK(id != NULL || ws_alloc_live() == 0);
    }
    end(id);
    pem_free(&pair);
}

static void
a_hardened_context_resumes_and_renegotiates_nothing(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    ws_identity_harden(ctx);
    CHECK_EQ(SSL_CTX_get_min_proto_version(ctx), TLS1_2_VERSION);
    CHECK_EQ(SSL_CTX_get_num_tickets(ctx), 0);
    CHECK_EQ(SSL_CTX_get_session_cache_mode(ctx), SSL_SESS_CACHE_OFF);
    CHECK((SSL_CTX_get_options(ctx) & SSL_OP_NO_RENEGOTIATION) != 0);
    CHECK((SSL_CTX_get_options(ctx) & SSL_OP_NO_COMPRESSION) != 0);
    STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx);
    CHECK(sk_SSL_CIPHER_num(ciphers) > 6);
    for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
        CHECK_EQ(SSL_CIPHER_is_aead(sk_SSL_CIPHER_value(ciphers, i)), 1);
    }
    SSL_CTX_free(ctx);
}

/* What a handshake would see of it. */
static void
expect_shown(const ws_identity *id, X509 *cert)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL *ssl = SSL_new(ctx);
    CHECK(ws_identity_show(id, ssl));
    CHECK_EQ(X509_cmp(SSL_get_certificate(ssl), cert), 0);
    CHECK_EQ(SSL_get_verify_mode(ssl),
             SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

/* The authorities are named to clients by each context. */
static void
expect_announced(ws_identity *id)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    ws_identity_announce(id, ctx);
    CHECK_EQ(sk_X509_NAME_num(SSL_CTX_get_client_CA_list(ctx)), 1);
    SSL_CTX_free(ctx);
}

static void
a_twin_is_the_same_and_outlives_the_first(void)
{
    pem_pair pair = pem_make("localhost", NULL, false);
    const char *both = pem_write_pair("both", &pair);
    ws_identity *id = load(both, NULL, both);
    ws_alloc_fail_at(0);
    CHECK(ws_identity_twin(id) == NULL);
    ws_alloc_fail_at(-1);
    ws_identity *twin = ws_identity_twin(id);
    CHECK(twin != NULL && twin != id);
    expect_announced(id);
    ws_identity_free(id);
    expect_announced(twin);
    expect_shown(twin, pair.cert);
    end(twin);

    id = load(both, NULL, NULL); // without authorities
    twin = ws_identity_twin(id);
    CHECK(twin != NULL);
    ws_identity_free(twin);
    end(id);
    pem_free(&pair);
}

static const ws_test tests[] = {
    TEST(a_twin_is_the_same_and_outlives_the_first),
    TEST(certificate_and_key_may_be_in_one_file_or_two),
    TEST(a_file_that_is_wrong_is_named_with_what_is_wrong),
    TEST(a_file_without_end_is_refused),
    TEST(out_of_memory_is_told_and_leaks_nothing),
    TEST(a_hardened_context_resumes_and_renegotiates_nothing),
};

TEST_MAIN(tests)
