/*
 * Callers' threads may have small stacks: musl gives 128 KiB, some languages 64 KiB or less. Every call is made on a
 * thread whose stack is measured, with the replies and the input that take most.
 *
 *   stack          checks that no call needs more than the header says
 *   stack measure  prints what each needs
 */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>

/* As the header says. */
#define NEEDED (48 * 1024)
#define STACK (1024 * 1024)
#define PAINT 0xa5
#define DEEP 200000
#define PEER "12D3KooWB8sCGZCrwr79HtabLAn95qyPQx6RYHXjEbiD6QKou7ww"

static peerkit_t handle;
static peerkit_events_t events;
static char deep[DEEP + 32];
static char stack[STACK] __attribute__((aligned(4096)));

struct job {
    const char *name;
    const char *options;
    char *reply;
};

static void *nothing(void *job)
{
    return job;
}

static void *start_it(void *given)
{
    struct job *job = given;
    peerkit_t out;

    job->reply = peerkit_start(job->options, T_MS, &out);
    if (out != 0)
        handle = out;
    return NULL;
}

static void *call_it(void *given)
{
    struct job *job = given;

    job->reply = peerkit_call(handle, job->name, job->options, T_MS);
    return NULL;
}

static void *stop_it(void *given)
{
    ((struct job *)given)->reply = peerkit_stop(handle, T_MS);
    return NULL;
}

static void *current_it(void *given)
{
    peerkit_t out;

    ((struct job *)given)->reply = peerkit_current(&out);
    return NULL;
}

static void *open_it(void *given)
{
    struct job *job = given;

    job->reply = peerkit_events_open(handle, job->options, &events);
    return NULL;
}

static void *next_it(void *given)
{
    ((struct job *)given)->reply = peerkit_events_next(events, 0);
    return NULL;
}

/* Runs it on the painted stack; returns how much of that was used. */
static size_t used(void *(*body)(void *), struct job *job)
{
    pthread_attr_t attr;
    pthread_t thread;
    size_t clean = 0;

    memset(stack, PAINT, sizeof stack);
    CHECK(pthread_attr_init(&attr) == 0 && pthread_attr_setstack(&attr, stack, sizeof stack) == 0, "the stack");
    CHECK(pthread_create(&thread, &attr, body, job) == 0, "pthread_create");
    CHECK(pthread_join(thread, NULL) == 0, "pthread_join");
    while (clean < sizeof stack && (unsigned char)stack[clean] == PAINT)
        clean++;
    return sizeof stack - clean;
}

static size_t most;
static bool measures;

/* `code` is of the failure that is expected, NULL for a success, "" for either. */
static void needs(void *(*body)(void *), const char *name, const char *options, const char *code)
{
    static size_t bare;
    struct job job = {name, options, NULL};
    size_t need;

    if (bare == 0)
        bare = used(nothing, &job);
    need = used(body, &job) - bare;
    if (measures)
        printf("%8zu  %s%s\n", need, name, options == deep ? " (deep)" : "");
    if (need > most)
        most = need;
    CHECK(need <= NEEDED, "%s needs %zu bytes of stack", name, need);
    if (code == NULL)
        ok(name, job.reply);
    else if (*code != '\0')
        fails(name, job.reply, code);
    else
        peerkit_string_free(job.reply);
}

static const char *const names[] = {
    "status", "get_peers", "list_peers", "get_peer", "search_peers", "connect_peer", "disconnect_peer", "ping_peer",
    "add_peer", "remove_peer", "list_bootstrap_peers", "add_bootstrap_peer", "remove_bootstrap_peer",
    "bootstrap_from_ipfs", "bootstrap_from_cluster", "discover_peers", "start_discovery", "stop_discovery",
    "get_discovery", "network_changed", "find_peer", "provide", "find_providers", "publish", "subscribe",
    "unsubscribe", "get_peer_stats", "get_peers_summary", "get_metrics",
};

static void every_call(void)
{
    static char add[TEXT_MAX], peer[TEXT_MAX], connect[TEXT_MAX];

    snprintf(add, sizeof add, "{\"peer_id\":\"%s\",\"multiaddrs\":[\"/ip4/127.0.0.1/tcp/1\",\"/ip4/127.0.0.1/udp/1/quic-v1\"],\"tags\":[\"a\"]}", PEER);
    snprintf(peer, sizeof peer, "{\"peer_id\":\"%s\"}", PEER);
    snprintf(connect, sizeof connect, "{\"peer_id\":\"%s\",\"multiaddr\":\"/ip4/127.0.0.1/tcp/1\"}", PEER);
    needs(start_it, "start", "{\"profile\":\"offline\",\"listen\":[\"/ip4/127.0.0.1/tcp/0\"],\"limits\":{\"max_peers\":1000},"
          "\"discovery\":{\"mdns\":false,\"dht\":\"server\",\"gossip\":true,\"interval_s\":60},\"log\":{\"level\":\"error\"}}", NULL);
    needs(current_it, "current", NULL, NULL);
    needs(open_it, "events_open", "{\"since\":0,\"kinds\":[\"peer_updated\",\"dial_failed\",\"listen_addr\"]}", "");
    needs(open_it, "events_open", "{\"since\":0}", NULL);
    needs(call_it, "add_peer", add, "");
    needs(call_it, "connect_peer", connect, "dial_failed");
    needs(call_it, "get_peer", peer, "");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        needs(call_it, names[i], "{}", "");
    needs(call_it, "list_peers", "{\"limit\":\"ten\"}", "invalid_argument");
    needs(call_it, "no_such_operation", NULL, "unknown_method");
    needs(next_it, "events_next", NULL, NULL);
}

static void every_deep_input(void)
{
    static const struct {
        const char *before;
        char nested;
    } shapes[] = {{"", '['}, {"{\"a\":", '['}, {"{\"limit\":", '['}};

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        strcpy(deep, shapes[i].before);
        memset(deep + strlen(deep), shapes[i].nested, DEEP);
        deep[strlen(shapes[i].before) + DEEP] = '\0';
        for (size_t n = 0; n < sizeof names / sizeof names[0]; n++)
            needs(call_it, names[n], deep, "invalid_argument");
        needs(open_it, "events_open", deep, "invalid_argument");
        needs(start_it, "start", deep, "config_invalid");
    }
}

int main(int argc, char **argv)
{
    measures = argc == 2 && strcmp(argv[1], "measure") == 0;
    every_call();
    every_deep_input();
    needs(stop_it, "stop", NULL, NULL);
    if (measures)
        printf("%8zu  at most\n", most);
    promise("no call needs more than %d KiB of its caller's stack, and none for input that is nested deep", NEEDED / 1024);
    return 0;
}
