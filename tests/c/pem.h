/*
 * pem.h - for tests: certificates made on the spot, as objects and as files.
 *
 * The files are in a directory of the test's own, which goes with the process.
 */
#ifndef WS_TESTS_PEM_H
#define WS_TESTS_PEM_H

#include <ftw.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

/* A certificate and its key. */
typedef struct pem_pair {
    X509 *cert;
    EVP_PKEY *key;
} pem_pair;

static inline EVP_PKEY *
pem_ec_key(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    CHECK(key != NULL);
    return key;
}

static inline void
pem_extend(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    CHECK(ext != NULL);
    CHECK_EQ(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

/* Signed by `issuer`, NULL: by itself. Takes over `key`. */
static inline pem_pair
pem_make_with(EVP_PKEY *key, const char *name, const pem_pair *issuer,
              bool authority)
{
    static long serial = 1;
    X509 *cert = X509_new();
    X509_NAME *subject = X509_get_subject_name(cert);

    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600L * 24);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(
        cert, issuer == NULL ? subject : X509_get_subject_name(issuer->cert));
    if (authority) {
        pem_extend(cert, NID_basic_constraints, "critical,CA:TRUE");
    }
    CHECK(X509_sign(cert, issuer == NULL ? key : issuer->key, EVP_sha256()) >
          0);
    return (pem_pair){cert, key};
}

static inline pem_pair
pem_make(const char *name, const pem_pair *issuer, bool authority)
{
    return pem_make_with(pem_ec_key(), name, issuer, authority);
}

static inline void
pem_free(pem_pair *pair)
{
    X509_free(pair->cert);
    EVP_PKEY_free(pair->key);
}

/* ---- files */

static inline int
pem_remove_one(const char *path, const struct stat *file, int type,
               struct FTW *at)
{
    (void)file;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void
pem_remove_folder(void)
{
    char folder[64];
    (void)snprintf(folder, sizeof folder, "/tmp/wssend-pem-%d", (int)getpid());
    if (nftw(folder, pem_remove_one, 4, FTW_DEPTH | FTW_PHYS) != 0) {
        fprintf(stderr, "not removed: %s\n", folder);
    }
}

/* The path of a file in the test's own directory; until the sixteenth next. */
static inline const char *
pem_path(const char *name)
{
    static char paths[16][96];
    static unsigned next;
    static bool made;
    char folder[64];
    (void)snprintf(folder, sizeof folder, "/tmp/wssend-pem-%d", (int)getpid());
    if (!made) {
        CHECK_EQ(mkdir(folder, 0700), 0);
        CHECK_EQ(atexit(pem_remove_folder), 0);
        made = true;
    }
    char *path = paths[next++ % 16];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* Appends to, or with "w" makes, a file of that name. */
static inline const char *
pem_write_cert(const char *name, const char *mode, X509 *cert)
{
    const char *path = pem_path(name);
    FILE *file = fopen(path, mode);
    CHECK(file != NULL);
    CHECK_EQ(PEM_write_X509(file, cert), 1);
    CHECK_EQ(fclose(file), 0);
    return path;
}

/* `passphrase`: NULL, not encrypted. */
static inline const char *
pem_write_key(const char *name, const char *mode, EVP_PKEY *key,
              const char *passphrase)
{
    const char *path = pem_path(name);
    FILE *file = fopen(path, mode);
    CHECK(file != NULL);
    CHECK_EQ(PEM_write_PrivateKey(
                 file, key, passphrase == NULL ? NULL : EVP_aes_128_cbc(),
                 (const unsigned char *)passphrase,
                 passphrase == NULL ? 0 : (int)strlen(passphrase), NULL, NULL),
             1);
    CHECK_EQ(fclose(file), 0);
    return path;
}

static inline const char *
pem_write_text(const char *name, const char *text)
{
    const char *path = pem_path(name);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    CHECK(fputs(text, file) >= 0);
    CHECK_EQ(fclose(file), 0);
    return path;
}

/* Key and certificate, self-signed, in one file. */
static inline const char *
pem_write_pair(const char *name, const pem_pair *pair)
{
    (void)pem_write_key(name, "w", pair->key, NULL);
    return pem_write_cert(name, "a", pair->cert);
}

#endif
