/*
 * identity.h - who a TLS server is, and whom it believes: certificate, key,
 * chain and the authorities of clients, loaded from PEM files and checked.
 *
 * Loading is done by whoever asks for it, so that a file that is wrong is his
 * error; what has been loaded is then used by the pump without a look at any
 * file.
 *
 * Threads: load, twin and free, any; in between whoever owns it.
 * Owns:    its OpenSSL objects, of which twins have references to the same.
 * Locks:   none.
 */
#ifndef WS_NET_IDENTITY_H
#define WS_NET_IDENTITY_H

#include <stdbool.h>

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */
struct ssl_st;     /* ... and SSL */

typedef struct ws_identity ws_identity;

/* Paths, NUL-terminated. */
typedef struct ws_identity_files {
    const char *cert;      /* the certificate, then its chain */
    const char *key;       /* NULL: in the same file */
    const char *client_ca; /* who may vouch for clients; NULL: nobody need */
} ws_identity_files;

typedef struct ws_identity_error {
    int err;              /* errno: the file cannot be read, or ENOMEM; 0: the
                             text says what is wrong with it */
    const char *argument; /* static: "tls_cert", "tls_key", "tls_client_ca" */
    const char *file;     /* as it was given */
    char text[160];       /* "holds no certificate" */
} ws_identity_error;

/* Reads and checks; never asks for a passphrase. NULL: *error tells why. */
ws_identity *ws_identity_load(const ws_identity_files *files,
                              ws_identity_error *error);

/* Another of the same, for another thread. Not once it was announced. NULL: no
   memory. */
ws_identity *ws_identity_twin(const ws_identity *identity);

void ws_identity_free(ws_identity *identity); /* NULL does nothing */

/* What is asked of a server's context whatever its identity: TLS 1.2 or
   newer, ciphers with forward secrecy, no session to resume, no renegotiation
   and no compression. */
void ws_identity_harden(struct ssl_ctx_st *ctx);

/* Has the context's handshakes name the authorities that clients may have
   their certificates from. Once for each identity. */
void ws_identity_announce(ws_identity *identity, struct ssl_ctx_st *ctx);

/* Has one connection, before its certificate is sent, show the identity and
   ask of the client what is to be asked. False: out of memory. */
bool ws_identity_show(const ws_identity *identity, struct ssl_st *ssl);

#endif
