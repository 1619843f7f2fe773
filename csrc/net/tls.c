#include "tls.h"

#include <assert.h>
#include <libwebsockets.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "context.h"
#include "core/alloc.h"

struct ws_tls {
    unsigned refs;
    struct lws_vhost *vhost;
    SSL_CTX *ctx; // the vhost's
    ws_identity *identity;
};

/* OpenSSL, when it is about to choose a certificate. */
static int
show_identity(SSL *ssl, void *arg)
{
    const ws_tls *tls = arg;
    return ws_identity_show(tls->identity, ssl) ? 1 : 0;
}

int
ws_tls_set_up(struct lws_vhost *vhost, SSL_CTX *ctx)
{
    ws_tls *tls = lws_vhost_user(vhost);
    tls->ctx = ctx;
    ws_identity_harden(ctx);
    // lws would look for another vhost by the name that the client asks for.
    SSL_CTX_set_tlsext_servername_callback(ctx, NULL);
    SSL_CTX_set_cert_cb(ctx, show_identity, tls);
    return 0;
}

void
ws_tls_set_identity(ws_tls *tls, ws_identity *identity)
{
    ws_identity_announce(identity, tls->ctx);
    ws_identity_free(tls->identity);
    tls->identity = identity;
}

static bool
make_vhost(ws_tls *tls, struct lws_context *context,
           const struct lws_protocols *protocols)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER, // or it would have no TLS
        .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
                   LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX,
        .protocols = protocols,
        .vhost_name = "wssend-tls",
        .alpn = "http/1.1", // else whatever lws was built with
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .user = tls,
    };
    tls->vhost = ws_context_new_vhost(context, &info);
    return tls->vhost != NULL && tls->ctx != NULL;
}

ws_tls *
ws_tls_new(struct lws_context *context, const struct lws_protocols *protocols,
           ws_identity *identity)
{
    ws_tls *tls = ws_calloc(1, sizeof *tls);
    if (tls == NULL) {
        ws_identity_free(identity);
        return NULL;
    }
    tls->refs = 1;
    if (!make_vhost(tls, context, protocols)) {
        ws_identity_free(identity);
        ws_tls_unref(tls);
        return NULL;
    }
    ws_tls_set_identity(tls, identity);
    return tls;
}

ws_tls *
ws_tls_ref(ws_tls *tls)
{
    tls->refs++;
    return tls;
}

void
ws_tls_unref(ws_tls *tls)
{
    if (tls == NULL || --tls->refs > 0) {
        return;
    }
    if (tls->vhost != NULL) {
        lws_vhost_destroy(tls->vhost);
    }
    ws_identity_free(tls->identity);
    ws_free(tls);
}

struct lws_vhost *
ws_tls_vhost(const ws_tls *tls)
{
    return tls->vhost;
}

/* ---- one connection */

bool
ws_tls_is_shaking(struct lws *wsi)
{
    SSL *ssl = lws_get_ssl(wsi);
    return ssl != NULL && SSL_is_init_finished(ssl) == 0;
}

bool
ws_tls_is_deaf(struct lws *wsi)
{
    SSL *ssl = lws_get_ssl(wsi);
    return ssl != NULL && SSL_want_write(ssl) && SSL_in_init(ssl) != 0;
}

ssize_t
ws_tls_write(struct lws *wsi, const void *data, size_t size)
{
    SSL *ssl = lws_get_ssl(wsi);
    assert(size > 0 && size <= WS_TLS_RECORD);
    ERR_clear_error();
    int taken = SSL_write(ssl, data, (int)size);
    if (taken > 0) {
        return taken;
    }
    return SSL_get_error(ssl, taken) == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

bool
ws_tls_finish(struct lws *wsi)
{
    SSL *ssl = lws_get_ssl(wsi);
    ERR_clear_error();
    int done = SSL_shutdown(ssl);
    return done >= 0 || SSL_get_error(ssl, done) != SSL_ERROR_WANT_WRITE;
}

void
ws_tls_take_leave(struct lws *wsi)
{
    SSL *ssl = lws_get_ssl(wsi);
    if (ssl != NULL && SSL_get_shutdown(ssl) == SSL_RECEIVED_SHUTDOWN) {
        ERR_clear_error();
        (void)SSL_shutdown(ssl);
    }
}
