/* tls_pair.h - for tests: certificates made on the spot, and a TLS client
   that takes turns with the server in one thread. */
#ifndef WS_TESTS_TLS_PAIR_H
#define WS_TESTS_TLS_PAIR_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "echo_server.h"

/* A self-signed certificate and its key, as PEM texts. */
typedef struct identity {
    char cert[4096];
    char key[4096];
} identity;

static inline void
copy_bio(BIO *bio, char *out, size_t size)
{
    int used = BIO_read(bio, out, (int)size - 1);

    CHECK(used > 0);
    out[used] = '\0';
    BIO_free(bio);
}

static inline X509 *
self_signed(EVP_PKEY *key, const char *name)
{
    X509 *cert = X509_new();
    X509_NAME *subject = X509_get_subject_name(cert);

    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, subject);
    CHECK(X509_sign(cert, key, EVP_sha256()) > 0);
    return cert;
}

static inline void
make_identity(identity *id, const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = self_signed(key, name);
    BIO *bio = BIO_new(BIO_s_mem());

    CHECK_EQ(PEM_write_bio_X509(bio, cert), 1);
    copy_bio(bio, id->cert, sizeof id->cert);
    bio = BIO_new(BIO_s_mem());
    CHECK_EQ(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    copy_bio(bio, id->key, sizeof id->key);
    X509_free(cert);
    EVP_PKEY_free(key);
}

typedef struct tls_client {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
} tls_client;

/* Takes `fd`; `host` is the server name it asks for. */
static inline tls_client
tls_start(int fd, const char *host)
{
    tls_client c = {.ctx = SSL_CTX_new(TLS_client_method()), .fd = fd};

    CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    c.ssl = SSL_new(c.ctx);
    CHECK_EQ(SSL_set_tlsext_host_name(c.ssl, host), 1);
    CHECK_EQ(SSL_set_fd(c.ssl, fd), 1);
    return c;
}

static inline void
tls_handshake(server *s, tls_client *c)
{
    TURN_UNTIL(s, SSL_connect(c->ssl) == 1);
}

static inline bool
tls_server_is(const tls_client *c, const char *name)
{
    char got[64] = "";
    X509 *cert = SSL_get1_peer_certificate(c->ssl);

    CHECK(cert != NULL);
    X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, got,
                              sizeof got);
    X509_free(cert);
    return strcmp(got, name) == 0;
}

static inline void
tls_expect_echo(server *s, tls_client *c, const char *text)
{
    char answer[64];
    int size = (int)strlen(text);

    CHECK_EQ(SSL_write(c->ssl, text, size), size);
    TURN_UNTIL(s, SSL_peek(c->ssl, answer, sizeof answer) > 0);
    CHECK_EQ(SSL_read(c->ssl, answer, sizeof answer), size);
    CHECK(memcmp(answer, text, (size_t)size) == 0);
}

static inline void
tls_close(tls_client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    CHECK_EQ(close(c->fd), 0);
}

#endif
