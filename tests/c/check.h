/*
 * Shared by the C tests: checks that say what failed, JSON just good enough to look into replies, and
 * small network helpers. Everything is static inline, so each test stays one file and one command.
 *
 * A test prints "ok - PROMISE" for each promise kept and exits 0, or prints what failed and exits 1.
 */
#ifndef PEERKIT_TESTS_CHECK_H
#define PEERKIT_TESTS_CHECK_H

#include <peerkit.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define T_MS 10000u            /* a deadline no healthy call gets near */
#define TEXT_MAX 4096
#define OFFLINE "{\"profile\":\"offline\"}"

/* ---- Checks ---- */

#define CHECK(condition, ...) \
    do { \
        if (!(condition)) \
            check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__); \
    } while (0)

__attribute__((format(printf, 4, 5), noreturn)) static inline void
check_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    va_list args;

    printf("not ok - %s:%d: ", file, line);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf(" [%s]\n", condition);
    fflush(stdout);
    /* _exit: the failure may be in a forked child or beside running threads. */
    _exit(1);
}

__attribute__((format(printf, 1, 2))) static inline void promise(const char *format, ...)
{
    va_list args;

    printf("ok - ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

static inline double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- JSON ---- */

static inline const char *json_space(const char *p)
{
    while (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')
        p++;
    return p;
}

/* Just past the string that begins at p. */
static inline const char *json_past_string(const char *p)
{
    for (p++; *p && *p != '"'; p++)
        if (*p == '\\' && p[1])
            p++;
    return *p ? p + 1 : p;
}

/* Just past the value that begins at p. */
static inline const char *json_past(const char *p)
{
    int depth = 0;

    if (*p == '"')
        return json_past_string(p);
    if (*p != '{' && *p != '[')
        return p + strcspn(p, ",]} \n\t\r");
    do {
        if (*p == '"') {
            p = json_past_string(p);
            continue;
        }
        depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
        p++;
    } while (*p && depth > 0);
    return p;
}

/* The value of `key` (of this length) in the object at p, or NULL. Only this level is looked at. */
static inline const char *json_member(const char *p, const char *key, size_t length)
{
    if (p == NULL || *p != '{')
        return NULL;
    for (p = json_space(p + 1); *p == '"'; p = json_space(*p == ',' ? p + 1 : p)) {
        const char *name = p + 1, *after = json_past_string(p);
        const char *value = json_space(json_space(after) + 1);

        if ((size_t)(after - 1 - name) == length && strncmp(name, key, length) == 0)
            return value;
        p = json_space(json_past(value));
    }
    return NULL;
}

/* The value at a path such as "pagination.total", or NULL. */
static inline const char *json_at(const char *json, const char *path)
{
    for (;;) {
        size_t length = strcspn(path, ".");

        json = json_member(json, path, length);
        if (json == NULL || path[length] == '\0')
            return json;
        path += length + 1;
    }
}

/* Element `index` of the array at p, or NULL. */
static inline const char *json_element(const char *p, size_t index)
{
    if (p == NULL || *p != '[')
        return NULL;
    for (p = json_space(p + 1); *p && *p != ']'; index--) {
        if (index == 0)
            return p;
        p = json_space(json_past(p));
        if (*p == ',')
            p = json_space(p + 1);
    }
    return NULL;
}

static inline size_t json_length(const char *array)
{
    size_t n = 0;

    while (json_element(array, n))
        n++;
    return n;
}

/* Tells whether the value begins with these bytes, such as `true`, `null`, `"tcp"` or `[]`. */
static inline bool json_is(const char *json, const char *path, const char *value)
{
    const char *at = json_at(json, path);

    return at != NULL && strncmp(at, value, strlen(value)) == 0;
}

static inline double json_number(const char *json, const char *path)
{
    const char *at = json_at(json, path);

    CHECK(at != NULL && strchr("-0123456789", *at), "no number %s in %s", path, json);
    return strtod(at, NULL);
}

/* A string without its quotes, escapes as they are. */
static inline char *json_text(const char *json, const char *path, char buf[TEXT_MAX])
{
    const char *at = json_at(json, path);

    CHECK(at != NULL && *at == '"', "no text %s in %s", path, json);
    snprintf(buf, TEXT_MAX, "%.*s", (int)(json_past_string(at) - at - 2), at + 1);
    return buf;
}

/* ---- Replies ---- */

/* Checks what every reply has, success or not. */
static inline void check_envelope(const char *what, const char *reply)
{
    CHECK(reply != NULL, "%s: the reply is NULL", what);
    CHECK(strncmp(reply, "{\"success\":true", 15) == 0 || strncmp(reply, "{\"success\":false", 16) == 0,
          "%s: %.200s", what, reply);
    CHECK(json_is(reply, "method", "\""), "%s: no method in %.500s", what, reply);
    CHECK(json_is(reply, "category", "\"peer\""), "%s: no category in %.500s", what, reply);
    CHECK(json_is(reply, "source", "\"peerkit\""), "%s: no source in %.500s", what, reply);
}

/* Checks that the call succeeded; the reply stays the caller's. */
static inline char *want_ok(const char *what, char *reply)
{
    check_envelope(what, reply);
    CHECK(json_is(reply, "success", "true"), "%s should succeed: %.2000s", what, reply);
    return reply;
}

/* The same, and frees the reply. */
static inline void ok(const char *what, char *reply)
{
    peerkit_string_free(want_ok(what, reply));
}

/* Tells whether `code` is one of "a|b|c". */
static inline bool code_among(const char *code, const char *codes)
{
    size_t length = strlen(code);

    for (const char *p = codes; *p; p += strcspn(p, "|"), p += *p == '|')
        if (strcspn(p, "|") == length && strncmp(p, code, length) == 0)
            return true;
    return false;
}

/* Checks that the call failed with one of the codes "a|b"; the reply stays the caller's. */
static inline char *want_code(const char *what, char *reply, const char *codes)
{
    char code[TEXT_MAX];

    check_envelope(what, reply);
    CHECK(json_is(reply, "success", "false"), "%s should fail with %s: %.2000s", what, codes, reply);
    json_text(reply, "code", code);
    CHECK(code_among(code, codes), "%s should fail with %s: %.2000s", what, codes, reply);
    CHECK(json_is(reply, "error", "\"") && !json_is(reply, "error", "\"\""), "%s: no error text: %s", what, reply);
    CHECK(json_is(reply, "retryable", "true") || json_is(reply, "retryable", "false"), "%s: %s", what, reply);
    CHECK(json_at(reply, "hint") != NULL, "%s: no hint: %s", what, reply);
    CHECK(json_is(reply, "detail", "{"), "%s: no detail: %s", what, reply);
    return reply;
}

/* The same, and frees the reply. */
static inline void fails(const char *what, char *reply, const char *codes)
{
    peerkit_string_free(want_code(what, reply, codes));
}

/* ---- Runs ---- */

static inline peerkit_t start(const char *config)
{
    peerkit_t h = 0;

    ok("start", peerkit_start(config, T_MS, &h));
    CHECK(h != 0 && h < (UINT64_C(1) << 53), "handle %llu", (unsigned long long)h);
    return h;
}

static inline void stop(peerkit_t h)
{
    ok("stop", peerkit_stop(h, T_MS));
}

/* Calls an operation whose parameters are a format. */
__attribute__((format(printf, 3, 4))) static inline char *
call(peerkit_t h, const char *method, const char *format, ...)
{
    char params[2 * TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(params, sizeof params, format, args);
    va_end(args);
    return peerkit_call(h, method, params, T_MS);
}

/* ---- Sockets on loopback ---- */

/* A socket (SOCK_STREAM or SOCK_DGRAM) bound to a port: 0 lets the kernel choose, and *port says what. */
static inline int bind_port(int type, uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0, "can't bind port %u", *port);
    CHECK(getsockname(fd, (struct sockaddr *)&a, &size) == 0, "getsockname");
    *port = ntohs(a.sin_port);
    return fd;
}

/* A TCP server that completes handshakes (the kernel does) and never says a word. */
static inline int silent_server(uint16_t *port)
{
    int fd;

    *port = 0;
    fd = bind_port(SOCK_STREAM, port);
    CHECK(listen(fd, 64) == 0, "listen");
    return fd;
}

/* A port free for TCP and for UDP. */
static inline uint16_t free_port(void)
{
    for (int tries = 0; tries < 100; tries++) {
        uint16_t port = 0;
        int tcp = bind_port(SOCK_STREAM, &port);
        int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
        int taken;

        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        taken = bind(udp, (struct sockaddr *)&a, sizeof a);
        close(tcp);
        close(udp);
        if (taken == 0)
            return port;
    }
    CHECK(false, "no free port");
}

/* A port nobody listens on. Another process may take it meanwhile; on a test machine nobody does. */
static inline uint16_t closed_port(int type)
{
    uint16_t port = 0;

    close(bind_port(type, &port));
    return port;
}

#endif
