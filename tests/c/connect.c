/*
 * Connecting, truthfully: to live peers of another implementation, and to everything that isn't one.
 *
 *   connect ADDRESS/p2p/ID...              live peers: go through their whole life, then all that can go wrong
 *   connect leak ADDRESS/p2p/ID            about a thousand calls of every kind, for valgrind
 *   connect expect CODE STAGE ADDRESS [CONFIG_JSON]
 *                                          one connect that must fail so (STAGE may be -): a peer that blocks us
 *   connect unidentified ADDRESS/p2p/ID... live peers whose identify can't be used: they are connected all the same
 *   connect dns                            a name that doesn't resolve; asks the machine's resolver
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include <pthread.h>

#define UNKNOWN "12D3KooWB8sCGZCrwr79HtabLAn95qyPQx6RYHXjEbiD6QKou7ww"
#define NOBODY "12D3KooWSrKnMZUcSxK8G7wmBbXdU8nFEfWGhLu6H8xjn8LmCSJb"
#define CANCEL_TOKEN 77
#define JOINERS 8

/* A live peer, as the command line names it. */
struct target {
    char full[512];    /* ADDRESS/p2p/ID */
    char address[512]; /* without /p2p/ID */
    char id[128];
    bool quic;
};

static struct target parse_target(const char *full)
{
    struct target t = {.quic = strstr(full, "/quic-v1") != NULL};
    const char *p2p = strstr(full, "/p2p/");

    CHECK(p2p != NULL, "%s has no /p2p/", full);
    snprintf(t.full, sizeof t.full, "%s", full);
    snprintf(t.address, sizeof t.address, "%.*s", (int)(p2p - full), full);
    snprintf(t.id, sizeof t.id, "%s", p2p + strlen("/p2p/"));
    return t;
}

static const char *loopback_tcp(uint16_t port, char address[128])
{
    snprintf(address, 128, "/ip4/127.0.0.1/tcp/%u", port);
    return address;
}

/* Tells whether the array of peers names this one. */
static bool has_peer(const char *peers, const char *id)
{
    char text[TEXT_MAX];

    for (size_t i = 0; json_element(peers, i); i++)
        if (strcmp(json_text(json_element(peers, i), "peer_id", text), id) == 0)
            return true;
    return false;
}

static bool text_is(const char *json, const char *path, const char *expected)
{
    char text[TEXT_MAX];

    return strcmp(json_text(json, path, text), expected) == 0;
}

/* ---- The life of a connection ---- */

static void check_connected_reply(const char *reply, const struct target *t, bool already)
{
    CHECK(json_is(reply, "error", "null"), "error isn't null: %s", reply);
    CHECK(text_is(reply, "peer_id", t->id), "another peer: %s", reply);
    CHECK(json_is(reply, "already_connected", already ? "true" : "false"), "already_connected: %s", reply);
    CHECK(text_is(reply, "transport", t->quic ? "quic" : "tcp"), "transport: %s", reply);
    CHECK(json_is(reply, "message", "\"") && json_is(reply, "address", "\"/"), "%s", reply);
    CHECK(json_number(reply, "duration_ms") >= 0, "%s", reply);
    CHECK(already ? json_is(reply, "attempts", "[]") : json_length(json_at(reply, "attempts")) >= 1, "attempts: %s", reply);
}

static void connect_and_check(peerkit_t h, const char *id, const char *address, const struct target *t, bool already)
{
    char *reply = want_ok("connect_peer", peerkit_connect_peer(h, id, address, NULL, T_MS));

    check_connected_reply(reply, t, already);
    peerkit_string_free(reply);
}

static void disconnect_and_check(peerkit_t h, const struct target *t, bool was_connected)
{
    char *reply = want_ok("disconnect_peer", peerkit_disconnect_peer(h, t->id, NULL, T_MS));

    CHECK(json_is(reply, "was_connected", was_connected ? "true" : "false"), "was_connected: %s", reply);
    CHECK(json_is(reply, "error", "null") && text_is(reply, "peer_id", t->id), "%s", reply);
    peerkit_string_free(reply);
}

/* A connect counts, also the one by which the peer became known. */
static void first_connect_counts(peerkit_t h, const struct target *t)
{
    char *reply = want_ok("get_peer", peerkit_get_peer(h, t->id, NULL));
    const char *info = json_at(reply, "peer_info");

    CHECK(json_number(info, "connection_attempts") == 1 && json_number(info, "successful_connections") == 1, "%s", reply);
    CHECK(json_number(info, "last_connection_attempt") > 1e9, "%s", reply);
    peerkit_string_free(reply);
}

static void connect_by_address(peerkit_t h, const struct target *t)
{
    connect_and_check(h, NULL, t->full, t, false);
    first_connect_counts(h, t);
    connect_and_check(h, NULL, t->full, t, true);
    connect_and_check(h, t->id, NULL, t, true);
    disconnect_and_check(h, t, true);
    disconnect_and_check(h, t, false);
    connect_and_check(h, NULL, t->address, t, false); /* trusted on first use */
    disconnect_and_check(h, t, true);
    connect_and_check(h, t->id, t->address, t, false);
    promise("connect by address with and without id, already_connected, disconnect: %s", t->address);
}

static void list_connected(peerkit_t h, const struct target *t, bool listed)
{
    char *list = want_ok("list_peers", peerkit_list_peers(h, "{\"filter_connected\":true}"));
    char *get = want_ok("get_peers", peerkit_get_peers(h, "{\"status\":\"connected\"}"));
    char *rest = want_ok("list_peers", peerkit_list_peers(h, "{\"filter_connected\":false}"));

    CHECK(has_peer(json_at(list, "peers"), t->id) == listed, "list_peers: %s", list);
    CHECK(has_peer(json_at(get, "peers"), t->id) == listed, "get_peers: %s", get);
    CHECK(has_peer(json_at(rest, "peers"), t->id) == !listed, "list_peers: %s", rest);
    CHECK(json_number(list, "pagination.total") == (double)json_length(json_at(list, "peers")), "%s", list);
    peerkit_string_free(list);
    peerkit_string_free(get);
    peerkit_string_free(rest);
}

static void look_at_peer(peerkit_t h, const struct target *t)
{
    char *reply = want_ok("get_peer", peerkit_get_peer(h, t->id, NULL));
    const char *info = json_at(reply, "peer_info");

    CHECK(text_is(info, "peer_id", t->id) && json_is(info, "connected", "true"), "%s", reply);
    CHECK(json_is(info, "agent_version", "\"") && json_length(json_at(info, "protocols")) > 0, "not identified: %s", reply);
    CHECK(json_length(json_at(info, "multiaddrs")) > 0 && json_length(json_at(info, "connections")) == 1, "%s", reply);
    CHECK(text_is(info, "direction", "outbound") && text_is(info, "transport", t->quic ? "quic" : "tcp"), "%s", reply);
    CHECK(json_number(info, "successful_connections") >= 1 && json_number(info, "last_seen") > 1e9, "%s", reply);
    peerkit_string_free(reply);
}

static void search_and_count(peerkit_t h, const struct target *t)
{
    char *found = want_ok("search_peers", call(h, "search_peers", "{\"query\":\"%s\"}", t->id));
    char *none = want_ok("search_peers", call(h, "search_peers", "{\"query\":\"no peer is called so\"}"));
    char *stats = want_ok("get_peer_stats", peerkit_get_peer_stats(h, NULL));

    CHECK(has_peer(json_at(found, "peers"), t->id) && json_number(found, "total") == 1, "%s", found);
    CHECK(json_is(none, "peers", "[]") && json_number(none, "total") == 0, "%s", none);
    CHECK(json_number(stats, "connected_peers") == 1 && json_number(stats, "stats.connected_peers") == 1, "%s", stats);
    CHECK(json_number(stats, "stats.total_peers") >= 1 && json_length(json_at(stats, "protocols_supported")) > 0, "%s", stats);
    peerkit_string_free(found);
    peerkit_string_free(none);
    peerkit_string_free(stats);
}

static void ping_three(peerkit_t h, const struct target *t)
{
    char *reply = want_ok("ping_peer", peerkit_ping_peer(h, t->id, "{\"count\":3}", T_MS));
    const char *rtts = json_at(reply, "rtts_ms");

    CHECK(json_number(reply, "sent") == 3 && json_number(reply, "received") == 3 && json_length(rtts) == 3, "%s", reply);
    for (size_t i = 0; i < 3; i++) {
        double rtt = strtod(json_element(rtts, i), NULL);

        /* Loopback: a second would be somebody's timer, not a round trip. */
        CHECK(rtt > 0 && rtt < 1000, "round trip of %.3f ms: %s", rtt, reply);
    }
    peerkit_string_free(reply);
}

static void live_connection(peerkit_t h, const struct target *t)
{
    list_connected(h, t, true);
    look_at_peer(h, t);
    search_and_count(h, t);
    ping_three(h, t);
    disconnect_and_check(h, t, true);
    list_connected(h, t, false);
    fails("ping after disconnect", peerkit_ping_peer(h, t->id, NULL, T_MS), "not_connected");
    promise("a connected peer is listed, described, found, counted and pinged; then it isn't connected: %s", t->address);
}

static void connect_by_id(peerkit_t h, const struct target *t)
{
    char *reply = want_ok("remove_peer", call(h, "remove_peer", "{\"peer_id\":\"%s\"}", t->id));

    CHECK(json_is(reply, "removed", "true"), "%s", reply);
    peerkit_string_free(reply);
    fails("get_peer after remove", peerkit_get_peer(h, t->id, NULL), "peer_not_found");
    fails("connect by id after remove", peerkit_connect_peer(h, t->id, NULL, NULL, T_MS), "no_addresses");
    fails("disconnect after remove", peerkit_disconnect_peer(h, t->id, NULL, T_MS), "peer_not_found");
    fails("ping after remove", peerkit_ping_peer(h, t->id, NULL, T_MS), "peer_not_found");
    ok("add_peer", call(h, "add_peer", "{\"peer_id\":\"%s\",\"multiaddrs\":[\"%s\"]}", t->id, t->address));
    connect_and_check(h, t->id, NULL, t, false);
    ok("remove while connected", call(h, "remove_peer", "{\"peer_id\":\"%s\"}", t->id));
    fails("get_peer after remove", peerkit_get_peer(h, t->id, NULL), "peer_not_found");
    promise("remove_peer forgets and disconnects, add_peer makes a peer known, connect by id finds it: %s", t->address);
}

struct joiner {
    peerkit_t handle;
    const struct target *target;
    pthread_barrier_t *barrier;
};

static void *join_dial(void *argument)
{
    struct joiner *j = argument;

    pthread_barrier_wait(j->barrier);
    ok("concurrent connect", peerkit_connect_peer(j->handle, NULL, j->target->full, NULL, T_MS));
    return NULL;
}

static void concurrent_connects(peerkit_t h, const struct target *t)
{
    pthread_barrier_t barrier;
    pthread_t threads[JOINERS];
    struct joiner j = {h, t, &barrier};

    pthread_barrier_init(&barrier, NULL, JOINERS);
    for (int i = 0; i < JOINERS; i++)
        CHECK(pthread_create(&threads[i], NULL, join_dial, &j) == 0, "pthread_create");
    for (int i = 0; i < JOINERS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
    look_at_peer(h, t); /* with one connection */
    disconnect_and_check(h, t, true);
    promise("%d concurrent connects to one peer make one connection: %s", JOINERS, t->address);
}

static void wrong_identity(peerkit_t h, const struct target *t)
{
    char *reply = want_code("wrong id", peerkit_connect_peer(h, UNKNOWN, t->address, NULL, T_MS), "wrong_peer_id");

    CHECK(text_is(json_element(json_at(reply, "detail.attempts"), 0), "stage", "identity"), "%s", reply);
    peerkit_string_free(reply);
    fails("id against /p2p/", peerkit_connect_peer(h, UNKNOWN, t->full, NULL, T_MS), "invalid_argument");
    list_connected(h, t, false);
    fails("the expected peer", peerkit_get_peer(h, UNKNOWN, NULL), "peer_not_found");
    promise("an address of another peer is wrong_peer_id, and leaves no connection: %s", t->address);
}

/* ---- What can't be connected to ---- */

/* A connect that fails with the code, its first attempt at the stage. */
static void connect_fails(peerkit_t h, const char *address, uint32_t timeout_ms, const char *codes, const char *stage)
{
    char *reply = want_code(address, peerkit_connect_peer(h, NULL, address, NULL, timeout_ms), codes);
    const char *attempt = json_element(json_at(reply, "detail.attempts"), 0);

    CHECK(attempt != NULL, "no detail.attempts: %s", reply);
    CHECK(json_is(reply, "attempts", "[]"), "the failure lacks an empty \"attempts\": %s", reply);
    CHECK(stage == NULL || text_is(attempt, "stage", stage), "should fail at stage %s: %s", stage, reply);
    CHECK(json_is(attempt, "error", "\"") && json_is(attempt, "code", "\"") && json_is(attempt, "address", "\"/"), "%s", reply);
    peerkit_string_free(reply);
}

static void ourselves(peerkit_t h)
{
    char *status = want_ok("status", peerkit_status(h));
    char own[TEXT_MAX], id[TEXT_MAX];
    const char *first = json_element(json_at(status, "listen_addrs"), 0);

    CHECK(first != NULL, "no listen_addrs: %s", status);
    snprintf(own, sizeof own, "%.*s", (int)(json_past(first) - first - 2), first + 1);
    json_text(status, "peer_id", id);
    CHECK(strlen(own) > strlen(id) && strcmp(own + strlen(own) - strlen(id), id) == 0, "%s doesn't end in our id", own);
    fails("our address", peerkit_connect_peer(h, NULL, own, NULL, T_MS), "self_dial");
    fails("our id", peerkit_connect_peer(h, id, NULL, NULL, T_MS), "self_dial");
    fails("our id at another address", peerkit_connect_peer(h, id, "/ip4/127.0.0.1/tcp/1", NULL, T_MS), "self_dial");
    *strstr(own, "/p2p/") = '\0';
    fails("our address without id", peerkit_connect_peer(h, NULL, own, NULL, T_MS), "self_dial");
    peerkit_string_free(status);
    promise("connecting to ourselves is self_dial, by id and by address");
}

static void unknown_peers(peerkit_t h)
{
    fails("connect", peerkit_connect_peer(h, NOBODY, NULL, NULL, T_MS), "no_addresses");
    fails("get_peer", peerkit_get_peer(h, NOBODY, NULL), "peer_not_found");
    fails("disconnect", peerkit_disconnect_peer(h, NOBODY, NULL, T_MS), "peer_not_found");
    fails("ping", peerkit_ping_peer(h, NOBODY, NULL, T_MS), "peer_not_found");
    promise("unknown peers are no_addresses to connect, peer_not_found to all else");
}

static void closed_ports(peerkit_t h)
{
    char address[128];

    connect_fails(h, loopback_tcp(closed_port(SOCK_STREAM), address), T_MS, "dial_failed", "transport");
    snprintf(address, sizeof address, "/ip4/127.0.0.1/udp/%u/quic-v1", closed_port(SOCK_DGRAM));
    /* UDP may tell of a closed port or not. */
    connect_fails(h, address, 1500, "dial_failed|dial_timeout", "transport");
    promise("closed ports are dial_failed at stage transport");
}

static void failure_is_remembered(peerkit_t h)
{
    char address[128], *reply;

    loopback_tcp(closed_port(SOCK_STREAM), address);
    ok("add_peer", call(h, "add_peer", "{\"peer_id\":\"%s\",\"multiaddrs\":[\"%s\"]}", NOBODY, address));
    fails("connect", peerkit_connect_peer(h, NOBODY, NULL, NULL, T_MS), "dial_failed");
    reply = want_ok("get_peer", peerkit_get_peer(h, NOBODY, NULL));
    CHECK(json_is(reply, "peer_info.last_error.code", "\"dial_failed\""), "%s", reply);
    CHECK(json_number(reply, "peer_info.connection_attempts") == 1, "%s", reply);
    CHECK(json_is(reply, "peer_info.connected", "false"), "%s", reply);
    peerkit_string_free(reply);
    ok("remove_peer", call(h, "remove_peer", "{\"peer_id\":\"%s\"}", NOBODY));
    promise("the last failure stays in the peer's record");
}

static void silent_tcp(peerkit_t h)
{
    char address[128];
    uint16_t port;
    int server = silent_server(&port);
    double began = now_ms(), took;

    connect_fails(h, loopback_tcp(port, address), 1000, "dial_timeout", NULL);
    took = now_ms() - began;
    CHECK(took >= 900 && took < 1800, "a deadline of 1000 ms took %.0f ms", took);
    close(server);
    promise("a server that stays silent is dial_timeout at the deadline");
}

/* Answers whatever comes first as a web server would, and hangs up. */
static void *http_server(void *argument)
{
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    int server = *(int *)argument, connection = accept(server, NULL, NULL);
    char request[1024];

    if (connection >= 0 && read(connection, request, sizeof request) > 0)
        CHECK(write(connection, answer, sizeof answer - 1) > 0, "write");
    close(connection);
    return NULL;
}

static void http(peerkit_t h)
{
    char address[128];
    uint16_t port;
    pthread_t thread;
    int server = silent_server(&port);

    CHECK(pthread_create(&thread, NULL, http_server, &server) == 0, "pthread_create");
    connect_fails(h, loopback_tcp(port, address), T_MS, "dial_failed", "security");
    pthread_join(thread, NULL);
    close(server);
    promise("a web server is dial_failed at stage security");
}

struct pending {
    peerkit_t handle;
    char address[128];
};

static void *connect_until_cancelled(void *argument)
{
    struct pending *p = argument;
    char options[64];

    snprintf(options, sizeof options, "{\"cancel_token\":%d}", CANCEL_TOKEN);
    fails("cancelled connect", peerkit_connect_peer(p->handle, NULL, p->address, options, 60000), "cancelled");
    return NULL;
}

static void cancel(peerkit_t h)
{
    struct pending p = {.handle = h};
    pthread_t thread;
    uint16_t port;
    int server = silent_server(&port), connection;
    double began;

    loopback_tcp(port, p.address);
    CHECK(pthread_create(&thread, NULL, connect_until_cancelled, &p) == 0, "pthread_create");
    connection = accept(server, NULL, NULL); /* now the dial is under way */
    began = now_ms();
    ok("cancel", peerkit_cancel(h, CANCEL_TOKEN));
    pthread_join(thread, NULL);
    CHECK(now_ms() - began < 2000, "cancelling took %.0f ms", now_ms() - began);
    close(connection);
    close(server);
    promise("cancel from another thread makes a connect answer cancelled");
}

/* ---- Modes ---- */

static int live(int count, char **addresses)
{
    peerkit_t h = start(OFFLINE);

    for (int i = 0; i < count; i++) {
        struct target t = parse_target(addresses[i]);

        connect_by_address(h, &t);
        live_connection(h, &t);
        connect_by_id(h, &t);
        concurrent_connects(h, &t);
        wrong_identity(h, &t);
        ok("remove_peer", call(h, "remove_peer", "{\"peer_id\":\"%s\"}", t.id));
    }
    ourselves(h);
    unknown_peers(h);
    closed_ports(h);
    failure_is_remembered(h);
    silent_tcp(h);
    http(h);
    cancel(h);
    stop(h);
    return 0;
}

/* Nine calls that need no network, and every 25th time round a connection. */
static int leak(const char *address)
{
    struct target t = parse_target(address);
    peerkit_t h = start(OFFLINE);
    peerkit_events_t e = 0;

    for (int i = 0; i < 110; i++) {
        ok("events_open", peerkit_events_open(h, NULL, &e));
        ok("add_peer", call(h, "add_peer", "{\"peer_id\":\"%s\",\"multiaddrs\":[\"/ip4/127.0.0.1/tcp/1\"]}", NOBODY));
        ok("list_peers", peerkit_list_peers(h, "{\"limit\":10}"));
        ok("get_peer", peerkit_get_peer(h, NOBODY, NULL));
        ok("get_peer_stats", peerkit_get_peer_stats(h, NULL));
        ok("events_next", peerkit_events_next(e, 0));
        fails("get_peer", peerkit_get_peer(h, "11", NULL), "invalid_peer_id");
        fails("list_peers", peerkit_list_peers(h, "{\"limit\":0}"), "invalid_argument");
        ok("remove_peer", call(h, "remove_peer", "{\"peer_id\":\"%s\"}", NOBODY));
        if (i % 25 == 0) {
            ok("connect_peer", peerkit_connect_peer(h, NULL, t.full, NULL, 60000));
            ok("disconnect_peer", peerkit_disconnect_peer(h, t.id, NULL, 60000));
        }
        ok("events_close", peerkit_events_close(e));
    }
    ok("stop", peerkit_stop(h, 60000));
    promise("a thousand calls, for valgrind to judge");
    return 0;
}

/* A remote that speaks no identify, or tells a megabyte in it: nothing of that is kept, and all else works. */
static int unidentified(int count, char **addresses)
{
    peerkit_t h = start(OFFLINE);

    for (int i = 0; i < count; i++) {
        struct target t = parse_target(addresses[i]);
        char *reply;

        connect_and_check(h, NULL, t.full, &t, false);
        reply = want_ok("get_peer", peerkit_get_peer(h, t.id, NULL));
        CHECK(json_is(reply, "peer_info.agent_version", "null"), "%.5000s", reply);
        CHECK(json_length(json_at(reply, "peer_info.protocols")) == 0, "%.5000s", reply);
        CHECK(json_length(json_at(reply, "peer_info.multiaddrs")) == 1, "%.5000s", reply);
        peerkit_string_free(reply);
        list_connected(h, &t, true);
        ping_three(h, &t);
        disconnect_and_check(h, &t, true);
        ok("remove_peer", call(h, "remove_peer", "{\"peer_id\":\"%s\"}", t.id));
        promise("a peer whose identify can't be used is connected, listed and pinged: %s", t.address);
    }
    stop(h);
    return 0;
}

static int expect(const char *code, const char *stage, const char *address, const char *config)
{
    peerkit_t h = start(config);

    connect_fails(h, address, T_MS, code, strcmp(stage, "-") == 0 ? NULL : stage);
    stop(h);
    promise("connecting to %s is %s, stage %s", address, code, stage);
    return 0;
}

static int dns(void)
{
    peerkit_t h = start(OFFLINE);

    connect_fails(h, "/dns4/nosuch.invalid/tcp/4001", T_MS, "dial_failed|dial_timeout", "resolve");
    stop(h);
    promise("a name that doesn't resolve fails at stage resolve");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "leak") == 0)
        return leak(argv[2]);
    if ((argc == 5 || argc == 6) && strcmp(argv[1], "expect") == 0)
        return expect(argv[2], argv[3], argv[4], argc == 6 ? argv[5] : OFFLINE);
    if (argc >= 3 && strcmp(argv[1], "unidentified") == 0)
        return unidentified(argc - 2, argv + 2);
    if (argc == 2 && strcmp(argv[1], "dns") == 0)
        return dns();
    if (argc >= 2 && argv[1][0] == '/')
        return live(argc - 1, argv + 1);
    fprintf(stderr, "usage: connect ADDRESS/p2p/ID... | leak ADDRESS/p2p/ID | expect CODE STAGE ADDRESS [CONFIG_JSON] |\n"
                    "               unidentified ADDRESS/p2p/ID... | dns\n");
    return 2;
}
