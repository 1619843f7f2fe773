#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"

enum { FILE_MAX = 1 << 20 }; // far more than any chain needs

struct ws_identity {
    X509 *cert;
    EVP_PKEY *key;
    STACK_OF(X509) * chain;
    X509_STORE *client_ca;          // NULL: clients need no certificate
    STACK_OF(X509_NAME) * ca_names; // of client_ca, until announced
};

/* A file in memory, and what it was given as. */
typedef struct source {
    const char *argument;
    const char *file;
    char *data;
    size_t size;
} source;

/* ---- errors */

static bool
fail_errno(const source *from, int err, ws_identity_error *error)
{
    *error = (ws_identity_error){
        .err = err, .argument = from->argument, .file = from->file};
    return false;
}

static bool
fail(const source *from, const char *text, ws_identity_error *error)
{
    (void)fail_errno(from, 0, error);
    (void)snprintf(error->text, sizeof error->text, "%s", text);
    return false;
}

/* The same with what OpenSSL found, which is silent only where it has no
   memory to say it in. */
static bool
fail_reason(const source *from, const char *text, ws_identity_error *error)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(code);
    (void)fail_errno(from, code == 0 ? ENOMEM : 0, error);
    (void)snprintf(error->text, sizeof error->text, "%s: %s", text,
                   reason == NULL ? "unknown reason" : reason);
    return false;
}

/* What OpenSSL found last may follow from a want of memory long before. */
static void
blame_memory(ws_identity_error *error)
{
    unsigned long code = 0;
    while (error->err == 0 && (code = ERR_get_error()) != 0) {
        if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE) {
            error->err = ENOMEM;
        }
    }
}

/* ---- reading */

/* Appends what the descriptor has; an errno, or 0 at the end. */
static int
read_all(int fd, source *into)
{
    for (;;) {
        ssize_t got = read(fd, into->data + into->size, FILE_MAX - into->size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got == 0 ? 0 : errno;
        }
        into->size += (size_t)got;
        if (into->size == FILE_MAX) {
            return EFBIG;
        }
    }
}

static bool
read_file(source *into, ws_identity_error *error)
{
    int fd = open(into->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail_errno(into, errno, error);
    }
    into->data = ws_malloc(FILE_MAX);
    int err = into->data == NULL ? ENOMEM : read_all(fd, into);
    (void)close(fd);
    return err == 0 || fail_errno(into, err, error);
}

/* A key may have been in it. */
static void
forget(source *from)
{
    if (from->data != NULL) {
        OPENSSL_cleanse(from->data, from->size);
        ws_free(from->data);
    }
}

static bool
mentions(const source *in, const char *text)
{
    return memmem(in->data, in->size, text, strlen(text)) != NULL;
}

/* That there is none of what was looked for. */
static bool
fail_missing(const source *from, const char *text, ws_identity_error *error)
{
    bool is_pem = mentions(from, "-----BEGIN ");
    return fail(from, is_pem ? text : "is not a PEM file", error);
}

/* Instead of OpenSSL's own, which would ask at the terminal. */
static int
refuse_passphrase(char *buffer, int size, int writing, void *asked)
{
    (void)buffer;
    (void)size;
    (void)writing;
    if (asked != NULL) {
        *(bool *)asked = true;
    }
    return -1;
}

static BIO *
open_memory(const source *from, ws_identity_error *error)
{
    BIO *bio = BIO_new_mem_buf(from->data, (int)from->size);
    if (bio == NULL) {
        (void)fail_errno(from, ENOMEM, error);
    }
    return bio;
}

/* Takes every certificate; at least one. */
static bool
read_certs(BIO *bio, const source *from, STACK_OF(X509) * certs,
           ws_identity_error *error)
{
    X509 *cert = NULL;
    while ((cert = PEM_read_bio_X509(bio, NULL, refuse_passphrase, NULL)) !=
           NULL) {
        if (sk_X509_push(certs, cert) == 0) {
            X509_free(cert);
            return fail_errno(from, ENOMEM, error);
        }
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        return fail_reason(from, "holds a certificate that cannot be read",
                           error);
    }
    ERR_clear_error(); // the end of the file
    return sk_X509_num(certs) > 0 ||
           fail_missing(from, "holds no certificate", error);
}

static STACK_OF(X509) *
    load_certs(const source *from, ws_identity_error *error)
{
    STACK_OF(X509) *certs = sk_X509_new_null();
    if (certs == NULL) {
        (void)fail_errno(from, ENOMEM, error);
        return NULL;
    }
    BIO *bio = open_memory(from, error);
    if (bio == NULL || !read_certs(bio, from, certs, error)) {
        sk_X509_pop_free(certs, X509_free);
        certs = NULL;
    }
    BIO_free(bio);
    return certs;
}

static EVP_PKEY *
load_key(const source *from, ws_identity_error *error)
{
    bool asked = false;
    BIO *bio = open_memory(from, error);
    if (bio == NULL) {
        return NULL;
    }
    EVP_PKEY *key =
        PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &asked);
    BIO_free(bio);
    if (key != NULL) {
        ERR_clear_error();
    } else if (asked) {
        (void)fail(from,
                   "holds an encrypted private key: one without a passphrase "
                   "is needed",
                   error);
    } else if (mentions(from, "PRIVATE KEY-----")) {
        (void)fail_reason(from, "holds a private key that cannot be read",
                          error);
    } else {
        (void)fail_missing(from, "holds no private key", error);
    }
    return key;
}

/* ---- what is in them */

/* Whether the key is that of another certificate. Without memory OpenSSL also
   finds that two which are one do not match. */
static bool
is_another_key(const ws_identity *id)
{
    unsigned char *have = NULL;
    unsigned char *want = NULL;
    int size = i2d_PUBKEY(id->key, &have);
    int want_size = i2d_PUBKEY(X509_get0_pubkey(id->cert), &want);
    bool another =
        size > 0 && want_size > 0 &&
        (size != want_size || memcmp(have, want, (size_t)size) != 0);
    OPENSSL_free(have);
    OPENSSL_free(want);
    return another;
}

static bool
take_pair(ws_identity *id, const source *cert, const source *key,
          ws_identity_error *error)
{
    id->chain = load_certs(cert, error);
    if (id->chain == NULL) {
        return false;
    }
    id->cert = sk_X509_shift(id->chain);
    id->key = load_key(key, error);
    if (id->key == NULL) {
        return false;
    }
    if (X509_check_private_key(id->cert, id->key) != 1) {
        if (!is_another_key(id)) {
            return fail_errno(key, ENOMEM, error);
        }
        char text[sizeof error->text];
        (void)snprintf(text, sizeof text,
                       "holds a key that does not belong to the first "
                       "certificate in %s",
                       cert == key ? "it" : "tls_cert");
        return fail(key, text, error);
    }
    return true;
}

/* Tries it where it does no harm: OpenSSL refuses, say, keys that are short.
 */
static bool
try_pair(const ws_identity *id, const source *cert, ws_identity_error *error)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL) {
        return fail_errno(cert, ENOMEM, error);
    }
    ws_identity_harden(ctx);
    bool good =
        SSL_CTX_use_cert_and_key(ctx, id->cert, id->key, id->chain, 1) == 1 ||
        fail_reason(cert, "cannot be used", error);
    SSL_CTX_free(ctx);
    return good;
}

static bool
add_authority(ws_identity *id, X509 *cert)
{
    X509_NAME *name = X509_NAME_dup(X509_get_subject_name(cert));
    if (name == NULL || sk_X509_NAME_push(id->ca_names, name) == 0) {
        X509_NAME_free(name);
        return false;
    }
    return X509_STORE_add_cert(id->client_ca, cert) == 1;
}

static bool
take_authorities(ws_identity *id, const source *from, ws_identity_error *error)
{
    STACK_OF(X509) *certs = load_certs(from, error);
    if (certs == NULL) {
        return false;
    }
    id->client_ca = X509_STORE_new();
    id->ca_names = sk_X509_NAME_new_null();
    bool good = id->client_ca != NULL && id->ca_names != NULL;
    for (int i = 0; good && i < sk_X509_num(certs); i++) {
        good = add_authority(id, sk_X509_value(certs, i));
    }
    sk_X509_pop_free(certs, X509_free);
    return good || fail_errno(from, ENOMEM, error);
}

/* The three files; `key` and `ca` may be none. */
static bool
fill(ws_identity *id, source *cert, source *key, source *ca,
     ws_identity_error *error)
{
    if (!read_file(cert, error) ||
        (key->file != NULL && !read_file(key, error))) {
        return false;
    }
    const source *has_key = key->file != NULL ? key : cert;
    return take_pair(id, cert, has_key, error) && try_pair(id, cert, error) &&
           (ca->file == NULL ||
            (read_file(ca, error) && take_authorities(id, ca, error)));
}

ws_identity *
ws_identity_load(const ws_identity_files *files, ws_identity_error *error)
{
    source cert = {.argument = "tls_cert", .file = files->cert};
    source key = {.argument = "tls_key", .file = files->key};
    source ca = {.argument = "tls_client_ca", .file = files->client_ca};
    ws_identity *id = ws_calloc(1, sizeof *id);

    ERR_clear_error();
    if (id == NULL) {
        (void)fail_errno(&cert, ENOMEM, error);
    } else if (!fill(id, &cert, &key, &ca, error)) {
        blame_memory(error);
        ws_identity_free(id);
        id = NULL;
    }
    forget(&cert);
    forget(&key);
    forget(&ca);
    ERR_clear_error();
    return id;
}

/* As OpenSSL has it; false: no memory. */
static bool
share(const ws_identity *from, ws_identity *to)
{
    (void)X509_up_ref(from->cert);
    (void)EVP_PKEY_up_ref(from->key);
    to->cert = from->cert;
    to->key = from->key;
    if (from->client_ca != NULL) {
        (void)X509_STORE_up_ref(from->client_ca);
        to->client_ca = from->client_ca;
    }
    to->chain = from->chain == NULL ? NULL : X509_chain_up_ref(from->chain);
    to->ca_names =
        from->ca_names == NULL ? NULL : SSL_dup_CA_list(from->ca_names);
    return (to->chain == NULL) == (from->chain == NULL) &&
           (to->ca_names == NULL) == (from->ca_names == NULL);
}

ws_identity *
ws_identity_twin(const ws_identity *id)
{
    ws_identity *twin = ws_calloc(1, sizeof *twin);
    if (twin != NULL && !share(id, twin)) {
        ws_identity_free(twin);
        twin = NULL;
        ERR_clear_error();
    }
    return twin;
}

void
ws_identity_free(ws_identity *id)
{
    if (id == NULL) {
        return;
    }
    X509_free(id->cert);
    EVP_PKEY_free(id->key);
    sk_X509_pop_free(id->chain, X509_free);
    X509_STORE_free(id->client_ca);
    sk_X509_NAME_pop_free(id->ca_names, X509_NAME_free);
    ws_free(id);
}

/* ---- its use */

void
ws_identity_harden(SSL_CTX *ctx)
{
    static const unsigned char name[] = "wssend";

    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                       SSL_OP_NO_COMPRESSION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE |
                                       SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_num_tickets(ctx, 0); // TLS 1.3 has them otherwise
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_session_id_context(ctx, name, sizeof name - 1);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
                                    SSL_MODE_NO_AUTO_CHAIN |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    // One record a call: with this, one call would go on for as long as the
    // peer sends records without data, new keys for one.
    (void)SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    // Those of TLS 1.3 are all good.
    (void)SSL_CTX_set_cipher_list(
        ctx, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
             "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
             "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305");
    (void)SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384");
}

void
ws_identity_announce(ws_identity *id, SSL_CTX *ctx)
{
    SSL_CTX_set_client_CA_list(ctx, id->ca_names);
    id->ca_names = NULL; // the context's now
}

bool
ws_identity_show(const ws_identity *id, SSL *ssl)
{
    if (id->client_ca != NULL) {
        SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       NULL);
        if (SSL_set1_verify_cert_store(ssl, id->client_ca) != 1) {
            return false;
        }
    }
    return SSL_use_cert_and_key(ssl, id->cert, id->key, id->chain, 1) == 1;
}
