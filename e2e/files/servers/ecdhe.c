/* Loaded before the server's own libraries. Oracle linked MySQL 8.0.15 with OpenSSL 1.0.2, which offers ephemeral
   elliptic curves only to programs that ask for them, and the server asks only since it is linked with a later one. No
   modern client speaks anything else. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

/* From OpenSSL 1.0.2's ssl.h. */
enum { SSL_CTRL_SET_ECDH_AUTO = 94 };

long SSL_CTX_ctrl(void *context, int command, long number, void *pointer);

void *SSL_CTX_new(const void *method) {
    void *(*original)(const void *) = (void *(*)(const void *))dlsym(RTLD_NEXT, "SSL_CTX_new");
    void *context = original ? original(method) : NULL;
    if (context)
        SSL_CTX_ctrl(context, SSL_CTRL_SET_ECDH_AUTO, 1, NULL);
    return context;
}
