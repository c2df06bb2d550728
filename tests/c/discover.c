/*
 * The operations by which peers find each other, all through peerkit_call: what a caller gets wrong, every
 * documented key of every reply, and calls that end early. The other side is a child process, forked before
 * anything runs here, with a peer of its own that does as it is told through a pipe.
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#define LONG_MS 60000u /* under valgrind, too */
#define TOO_LONG_MS 3600001u
#define CONFIG \
    "{\"profile\":\"offline\",\"listen\":[\"/ip4/127.0.0.1/tcp/0\"],\"discovery\":{\"dht\":\"server\",\"gossip\":true}}"
#define NOBODY "12D3KooWSrKnMZUcSxK8G7wmBbXdU8nFEfWGhLu6H8xjn8LmCSJb"
#define NOWHERE "/ip4/127.0.0.1/tcp/1/p2p/" NOBODY
#define CID "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
#define CANCEL_TOKEN 78
#define ADDRESS_MAX 512
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define DISCOVERY \
    "discovered_peers total_discovered total_peers discovery_active interval_s last_pass complete sources " \
    "recent_events bootstrap_peers sources.bootstrap sources.mdns sources.dht sources.gossip sources.ipfs " \
    "sources.cluster sources.dht.enabled sources.dht.found sources.dht.total_found sources.dht.heard " \
    "sources.dht.dropped sources.dht.last_found sources.dht.note sources.dht.last_error"
#define LOOKUP "source found duration_ms error"
#define TOO_LONG_TOPIC \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef-"

static char *op(peerkit_t h, const char *method, const char *params)
{
    return peerkit_call(h, method, params, LONG_MS);
}

/* The operation with one parameter, a text. */
static char *op_with(peerkit_t h, const char *method, const char *key, const char *value)
{
    char params[TEXT_MAX];

    snprintf(params, sizeof params, "{\"%s\":\"%s\"}", key, value);
    return op(h, method, params);
}

/* Checks that every one of these keys, with spaces between them, is there. */
static void has(const char *what, const char *json, const char *keys)
{
    char key[128];

    while (sscanf(keys, "%127s", key) == 1) {
        CHECK(json_at(json, key) != NULL, "%s has no %s: %.5000s", what, key, json);
        keys += strspn(keys, " ") + strlen(key);
    }
}

/* The same of a reply, which must be a success and is freed. */
static void answers(const char *what, char *reply, const char *keys)
{
    has(what, want_ok(what, reply), keys);
    peerkit_string_free(reply);
}

/* The address at which this process's peer listens. */
static void own_address(peerkit_t h, char address[ADDRESS_MAX])
{
    char *status = want_ok("status", peerkit_status(h));
    const char *at = json_element(json_at(status, "listen_addrs"), 0);

    CHECK(at != NULL, "it listens nowhere: %s", status);
    snprintf(address, ADDRESS_MAX, "%.*s", (int)(json_past_string(at) - at - 2), at + 1);
    peerkit_string_free(status);
}

/* ---- The other side ---- */

struct peer {
    pid_t pid;
    int tell; /* a byte makes it publish; the end makes it stop */
    char address[ADDRESS_MAX];
    char id[128];
};

static void live_as_peer(int ready, int told)
{
    char address[ADDRESS_MAX] = "", byte;
    peerkit_t h = start(CONFIG);

    ok("subscribe", op_with(h, "subscribe", "topic", "news"));
    own_address(h, address);
    CHECK(write(ready, address, sizeof address) == sizeof address, "write");
    while (read(told, &byte, 1) == 1)
        ok("publish", op(h, "publish", "{\"topic\":\"news\",\"data_base64\":\"aGVsbG8=\"}"));
    stop(h);
    _exit(0);
}

static struct peer start_peer(void)
{
    struct peer peer;
    int ready[2], told[2];

    CHECK(pipe(ready) == 0 && pipe(told) == 0, "pipe");
    peer.pid = fork();
    CHECK(peer.pid >= 0, "fork");
    if (peer.pid == 0) {
        close(told[1]);
        live_as_peer(ready[1], told[0]);
    }
    close(ready[1]);
    close(told[0]);
    CHECK(read(ready[0], peer.address, sizeof peer.address) == sizeof peer.address, "the other peer didn't start");
    close(ready[0]);
    peer.tell = told[1];
    snprintf(peer.id, sizeof peer.id, "%s", strstr(peer.address, "/p2p/") + strlen("/p2p/"));
    return peer;
}

static void end_peer(struct peer *peer)
{
    int status;

    close(peer->tell);
    CHECK(waitpid(peer->pid, &status, 0) == peer->pid && status == 0, "the other peer failed: %d", status);
}

/* ---- What callers get wrong ---- */

struct operation {
    const char *name;
    const char *arrays[4]; /* the top-level arrays of its success reply */
    bool needs;            /* whether it can't go without parameters */
};

static const struct operation operations[] = {
    {"discover_peers", {"discovered_peers", "recent_events", "bootstrap_peers"}, false},
    {"start_discovery", {"discovered_peers", "recent_events", "bootstrap_peers"}, false},
    {"stop_discovery", {"discovered_peers", "recent_events", "bootstrap_peers"}, false},
    {"get_discovery", {"discovered_peers", "recent_events", "bootstrap_peers"}, false},
    {"list_bootstrap_peers", {"bootstrap_peers"}, false},
    {"add_bootstrap_peer", {"bootstrap_peers"}, true},
    {"remove_bootstrap_peer", {"bootstrap_peers"}, true},
    {"bootstrap_from_ipfs", {"peers", "connected", "failed"}, false},
    {"bootstrap_from_cluster", {"peers", "connected", "failed"}, false},
    {"find_peer", {"multiaddrs", "lookups"}, true},
    {"provide", {0}, true},
    {"find_providers", {"peers"}, true},
    {"publish", {0}, true},
    {"subscribe", {"topics"}, true},
    {"unsubscribe", {"topics"}, true},
};

static void refused(const struct operation *o, char *reply, const char *codes)
{
    want_code(o->name, reply, codes);
    for (size_t i = 0; i < COUNT(o->arrays) && o->arrays[i]; i++)
        CHECK(json_is(reply, o->arrays[i], "[]"), "%s fails without an empty %s: %s", o->name, o->arrays[i], reply);
    peerkit_string_free(reply);
}

static void bad_calls(peerkit_t h)
{
    const char *bad[] = {"", "{", "[]", "7", "\"x\"", "{}x", "{\"no_such_key\":1}", "{\"cancel_token\":\"7\"}",
                         "{\"cancel_token\":-1}", "{\"cancel_token\":1.5}", "{\"cancel_token\":[]}", "{\"topic\":\"\xff\"}"};

    for (size_t i = 0; i < COUNT(operations); i++) {
        const struct operation *o = &operations[i];

        for (size_t j = 0; j < COUNT(bad); j++)
            refused(o, op(h, o->name, bad[j]), "invalid_argument");
        refused(o, peerkit_call(h, o->name, NULL, TOO_LONG_MS), "invalid_argument");
        refused(o, op(0, o->name, NULL), "invalid_handle");
        refused(o, op(h + 1000, o->name, "{}"), "invalid_handle");
        if (o->needs) {
            refused(o, op(h, o->name, NULL), "invalid_argument");
            refused(o, op(h, o->name, "{}"), "invalid_argument");
        }
    }
    promise("bad JSON, unknown keys, bad tokens, timeouts and handles: a code, and empty arrays, of %zu operations",
            COUNT(operations));
}

/* Parameters of the right form that mean nothing. */
static void bad_values(peerkit_t h)
{
    const char *bad[][3] = {
        {"discover_peers", "{\"limit\":0}", "invalid_argument"},
        {"discover_peers", "{\"limit\":1001}", "invalid_argument"},
        {"discover_peers", "{\"limit\":-1}", "invalid_argument"},
        {"discover_peers", "{\"limit\":1.5}", "invalid_argument"},
        {"discover_peers", "{\"limit\":\"5\"}", "invalid_argument"},
        {"discover_peers", "{\"timeout\":-1}", "invalid_argument"},
        {"discover_peers", "{\"timeout\":1e300}", "invalid_argument"},
        {"discover_peers", "{\"timeout\":\"5\"}", "invalid_argument"},
        {"add_bootstrap_peer", "{\"multiaddr\":7}", "invalid_argument"},
        {"add_bootstrap_peer", "{\"multiaddr\":\"\"}", "invalid_multiaddr|invalid_argument"},
        {"add_bootstrap_peer", "{\"multiaddr\":\"nonsense\"}", "invalid_multiaddr"},
        {"add_bootstrap_peer", "{\"multiaddr\":\"/ip4/127.0.0.1/tcp/1\"}", "invalid_multiaddr|invalid_argument"},
        {"remove_bootstrap_peer", "{\"multiaddr\":[]}", "invalid_argument"},
        {"remove_bootstrap_peer", "{\"multiaddr\":\"/ip4/1.2.3\"}", "invalid_multiaddr"},
        {"bootstrap_from_ipfs", "{\"api\":7}", "invalid_argument"},
        {"bootstrap_from_ipfs", "{\"api\":\"\"}", "invalid_argument"},
        {"bootstrap_from_ipfs", "{\"api\":\"nonsense\"}", "invalid_argument"},
        {"bootstrap_from_ipfs", "{\"api\":\"ftp://127.0.0.1\"}", "invalid_argument"},
        {"bootstrap_from_ipfs", "{\"connect\":\"yes\"}", "invalid_argument"},
        {"bootstrap_from_cluster", "{\"api\":\"http://\"}", "invalid_argument"},
        {"bootstrap_from_cluster", "{\"api\":\"http://127.0.0.1:99999\"}", "invalid_argument"},
        {"bootstrap_from_cluster", "{\"connect\":1}", "invalid_argument"},
        {"find_peer", "{\"peer_id\":7}", "invalid_argument"},
        {"find_peer", "{\"peer_id\":\"nobody\"}", "invalid_peer_id"},
        {"provide", "{\"cid\":7}", "invalid_argument"},
        {"provide", "{\"cid\":\"\"}", "invalid_argument"},
        {"provide", "{\"cid\":\"nonsense\"}", "invalid_argument"},
        {"find_providers", "{\"cid\":\"Qm\"}", "invalid_argument"},
        {"find_providers", "{\"cid\":\"" CID "aa\"}", "invalid_argument"},
        {"find_providers", "{\"cid\":\"" CID CID "\"}", "invalid_argument"},
        {"find_providers", "{\"cid\":\"" CID "\",\"limit\":0}", "invalid_argument"},
        {"find_providers", "{\"cid\":\"" CID "\",\"limit\":101}", "invalid_argument"},
        {"publish", "{\"topic\":\"news\"}", "invalid_argument"},
        {"publish", "{\"data_base64\":\"aGk=\"}", "invalid_argument"},
        {"publish", "{\"topic\":\"\",\"data_base64\":\"aGk=\"}", "invalid_argument"},
        {"publish", "{\"topic\":\"" TOO_LONG_TOPIC "\",\"data_base64\":\"aGk=\"}", "invalid_argument"},
        {"publish", "{\"topic\":\"news\",\"data_base64\":\"aGk\"}", "invalid_argument"},
        {"publish", "{\"topic\":\"news\",\"data_base64\":\"!!!!\"}", "invalid_argument"},
        {"publish", "{\"topic\":\"news\",\"data_base64\":[104,105]}", "invalid_argument"},
        {"subscribe", "{\"topic\":7}", "invalid_argument"},
        {"subscribe", "{\"topic\":\"\"}", "invalid_argument"},
        {"subscribe", "{\"topic\":\"" TOO_LONG_TOPIC "\"}", "invalid_argument"},
        {"subscribe", "{\"topic\":\"/peerkit/announce/1.0.0\"}", "invalid_argument"},
        {"unsubscribe", "{\"topic\":\"" TOO_LONG_TOPIC "\"}", "invalid_argument"},
        {"unsubscribe", "{\"topic\":\"/peerkit/announce/1.0.0\"}", "invalid_argument"},
    };

    for (size_t i = 0; i < COUNT(bad); i++)
        fails(bad[i][1], op(h, bad[i][0], bad[i][1]), bad[i][2]);
    promise("numbers out of range, no addresses, no ids, no CIDs, no base64, topics too long: a code for each");
}

/* 60 KiB go, a byte more doesn't. */
static void too_much_to_say(peerkit_t h)
{
    const size_t most = 60 * 1024, base64 = most / 3 * 4;
    char *params = malloc(base64 + 100);
    size_t at = (size_t)sprintf(params, "{\"topic\":\"news\",\"data_base64\":\"");

    memset(params + at, 'A', base64);
    strcpy(params + at + base64, "\"}");
    fails("60 KiB", op(h, "publish", params), "not_connected");
    strcpy(params + at + base64, "AA==\"}");
    fails("a byte more", op(h, "publish", params), "invalid_argument");
    free(params);
    promise("a message of 60 KiB is no mistake, one of a byte more is");
}

static void ourselves(peerkit_t h)
{
    char address[ADDRESS_MAX];

    own_address(h, address);
    fails("list ourselves", op_with(h, "add_bootstrap_peer", "multiaddr", address), "self_dial");
    fails("find ourselves", op_with(h, "find_peer", "peer_id", strstr(address, "/p2p/")), "self_dial");
    promise("this node itself is neither looked for nor listed");
}

/* ---- Alone ---- */

static void without_dht(void)
{
    peerkit_t h = start(OFFLINE);

    fails("provide", op_with(h, "provide", "cid", CID), "unsupported");
    fails("find_providers", op_with(h, "find_providers", "cid", CID), "unsupported");
    answers("discover_peers", op(h, "discover_peers", NULL), DISCOVERY);
    stop(h);
    promise("where the DHT is off, what needs it is unsupported");
}

static void alone(peerkit_t h)
{
    char *reply = want_code("find_peer", op_with(h, "find_peer", "peer_id", NOBODY), "peer_not_found");

    CHECK(json_length(json_at(reply, "detail.lookups")) == 2, "the DHT and the connected peers are asked: %s", reply);
    has("a lookup", json_element(json_at(reply, "detail.lookups"), 0), LOOKUP);
    peerkit_string_free(reply);
    fails("provide", op_with(h, "provide", "cid", CID), "not_connected");
    fails("find_providers", op_with(h, "find_providers", "cid", CID), "not_connected");
    fails("publish", op(h, "publish", "{\"topic\":\"news\",\"data_base64\":\"\"}"), "not_connected");
    answers("get_discovery", op(h, "get_discovery", "{}"), DISCOVERY);
    reply = want_ok("stop_discovery", op(h, "stop_discovery", NULL));
    has("stop_discovery", reply, DISCOVERY);
    CHECK(json_is(reply, "discovery_active", "false"), "%s", reply);
    peerkit_string_free(reply);
    reply = want_ok("start_discovery", op(h, "start_discovery", NULL));
    has("start_discovery", reply, DISCOVERY);
    CHECK(json_is(reply, "discovery_active", "true"), "%s", reply);
    peerkit_string_free(reply);
    promise("alone, what needs others says so, and discovery is stopped and started again");
}

/* ---- With another ---- */

static void check_list(peerkit_t h, const char *method, const char *address, const char *changed, size_t length)
{
    char *reply = want_ok(method, address ? op_with(h, method, "multiaddr", address) : op(h, method, NULL));

    CHECK(json_is(reply, "changed", changed), "%s: changed isn't %s: %s", method, changed, reply);
    CHECK(json_length(json_at(reply, "bootstrap_peers")) == length, "%s: not %zu: %s", method, length, reply);
    peerkit_string_free(reply);
}

/* Waits for an event, which must have these keys. */
static void await_event(peerkit_events_t e, const char *kind, const char *keys)
{
    char name[TEXT_MAX];

    for (double end = now_ms() + LONG_MS; now_ms() < end;) {
        char *reply = want_ok("events_next", peerkit_events_next(e, 1000));
        const char *event;
        bool there = false;

        for (size_t i = 0; (event = json_element(json_at(reply, "events"), i)) != NULL && !there; i++) {
            there = strcmp(json_text(event, "event", name), kind) == 0;
            if (there)
                has(kind, event, keys);
        }
        peerkit_string_free(reply);
        if (there)
            return;
    }
    CHECK(false, "no %s came", kind);
}

static void bootstrap(peerkit_t h, peerkit_events_t e, const struct peer *peer)
{
    check_list(h, "list_bootstrap_peers", NULL, "false", 0);
    check_list(h, "add_bootstrap_peer", peer->address, "true", 1);
    check_list(h, "add_bootstrap_peer", peer->address, "false", 1);
    check_list(h, "add_bootstrap_peer", NOWHERE, "true", 2);
    check_list(h, "remove_bootstrap_peer", NOWHERE, "true", 1);
    check_list(h, "remove_bootstrap_peer", NOWHERE, "false", 1);
    check_list(h, "list_bootstrap_peers", NULL, "false", 1);
    await_event(e, "peer_identified", "seq timestamp peer_id agent_version protocols");
    promise("an address put on the bootstrap list is dialled unasked, and stands there once");
}

static void discover(peerkit_t h, peerkit_events_t e)
{
    char *reply;

    answers("discover_peers", op(h, "discover_peers", "{\"limit\":1,\"timeout\":30}"), DISCOVERY);
    await_event(e, "discovery", "seq timestamp peer_id found duration_ms");
    reply = want_ok("discover_peers", op(h, "discover_peers", "{\"timeout\":0.05}"));
    has("discover_peers", reply, DISCOVERY);
    CHECK(json_is(reply, "complete", "false"), "no pass with gossip ends in 50 ms: %s", reply);
    peerkit_string_free(reply);
    promise("a pass tells what each source brought; one that is cut short says so");
}

static void where_is(peerkit_t h, const struct peer *peer)
{
    char *reply = want_ok("find_peer", op_with(h, "find_peer", "peer_id", peer->id));

    has("find_peer", reply, "peer_id multiaddrs found_by lookups");
    CHECK(json_length(json_at(reply, "multiaddrs")) > 0, "%s", reply);
    has("a lookup", json_element(json_at(reply, "lookups"), 0), LOOKUP);
    peerkit_string_free(reply);
    answers("provide", op_with(h, "provide", "cid", CID), "cid duration_ms");
    reply = want_ok("find_providers", op(h, "find_providers", "{\"cid\":\"" CID "\",\"limit\":1}"));
    has("find_providers", reply, "cid peers");
    has("a provider", json_element(json_at(reply, "peers"), 0), "peer_id multiaddrs");
    peerkit_string_free(reply);
    promise("a peer is found, content is provided, and who provides it is found");
}

static void talk(peerkit_t h, peerkit_events_t e, const struct peer *peer)
{
    char *reply = want_ok("subscribe", op_with(h, "subscribe", "topic", "news"));

    CHECK(json_is(reply, "changed", "true") && json_is(reply, "topics", "[\"news\"]"), "%s", reply);
    peerkit_string_free(reply);
    answers("publish", op(h, "publish", "{\"topic\":\"news\",\"data_base64\":\"aGk=\"}"), "message_id topic");
    /* The other peer may not know yet that we subscribe; a ping goes behind what tells it. */
    ok("ping_peer", peerkit_ping_peer(h, peer->id, NULL, LONG_MS));
    CHECK(write(peer->tell, "p", 1) == 1, "write");
    await_event(e, "message", "seq timestamp peer_id topic message_id data_base64");
    reply = want_ok("unsubscribe", op_with(h, "unsubscribe", "topic", "news"));
    CHECK(json_is(reply, "changed", "true") && json_is(reply, "topics", "[]"), "%s", reply);
    peerkit_string_free(reply);
    answers("unsubscribe", op_with(h, "unsubscribe", "topic", "news"), "topics changed");
    promise("messages go both ways, and come as events");
}

/* ---- Daemons ---- */

struct daemon {
    int server;
    const char *address; /* of the peer it names */
};

static void *serve_four(void *argument)
{
    struct daemon *d = argument;

    for (int i = 0; i < 4; i++) {
        int connection = accept(d->server, NULL, NULL);
        char request[4096] = "", body[2048], answer[4096];

        CHECK(connection >= 0 && read(connection, request, sizeof request - 1) > 0, "no request");
        if (strncmp(request, "POST /api/v0/id ", 16) == 0)
            snprintf(body, sizeof body, "{\"ID\":\"%s\",\"Addresses\":[\"%s\"]}", strstr(d->address, "/p2p/") + 5, d->address);
        else if (strncmp(request, "POST /api/v0/swarm/peers ", 25) == 0)
            snprintf(body, sizeof body, "{\"Peers\":[{\"Peer\":\"" NOBODY "\",\"Addr\":\"/ip4/127.0.0.1/tcp/1\"}]}");
        else if (strncmp(request, "GET /id ", 8) == 0)
            snprintf(body, sizeof body, "{\"id\":\"" NOBODY "\",\"addresses\":[\"" NOWHERE "\"]}");
        else
            snprintf(body, sizeof body, "[]");
        snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                 strlen(body), body);
        CHECK(write(connection, answer, strlen(answer)) > 0, "write");
        close(connection);
    }
    return NULL;
}

static void daemons(peerkit_t h, const struct peer *peer)
{
    struct daemon d = {.address = peer->address};
    pthread_t thread;
    uint16_t port;
    char api[64], *reply;

    snprintf(api, sizeof api, "/ip4/127.0.0.1/tcp/%u", closed_port(SOCK_STREAM));
    fails("no Kubo there", op_with(h, "bootstrap_from_ipfs", "api", api), "dial_failed");
    fails("no cluster there", op_with(h, "bootstrap_from_cluster", "api", api), "dial_failed");

    d.server = silent_server(&port);
    snprintf(api, sizeof api, "http://127.0.0.1:%u", port);
    CHECK(pthread_create(&thread, NULL, serve_four, &d) == 0, "pthread_create");
    reply = want_ok("bootstrap_from_ipfs", op_with(h, "bootstrap_from_ipfs", "api", api));
    CHECK(json_length(json_at(reply, "peers")) == 2 && json_length(json_at(reply, "connected")) == 1, "%s", reply);
    has("who failed", json_element(json_at(reply, "failed"), 0), "peer_id address code error");
    peerkit_string_free(reply);
    answers("bootstrap_from_cluster", op_with(h, "bootstrap_from_cluster", "api", api), "peers connected failed");
    pthread_join(thread, NULL);
    close(d.server);
    promise("a daemon's peers are taken over; a daemon that isn't there is dial_failed");
}

/* ---- Calls that end early ---- */

struct waiting {
    peerkit_t handle;
    const char *method, *params, *code;
};

static void *wait_in_vain(void *argument)
{
    const struct waiting *w = argument;

    fails(w->method, op(w->handle, w->method, w->params), w->code);
    return NULL;
}

/* Cancels a call once it waits. */
static void cancelled(peerkit_t h, const char *method, const char *params)
{
    struct waiting w = {h, method, params, "cancelled"};
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, wait_in_vain, &w) == 0, "pthread_create");
    for (double end = now_ms() + LONG_MS; now_ms() < end; nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL)) {
        char *reply = want_ok("cancel", peerkit_cancel(h, CANCEL_TOKEN));
        bool done = json_number(reply, "cancelled") == 1;

        peerkit_string_free(reply);
        if (done) {
            pthread_join(thread, NULL);
            return;
        }
    }
    CHECK(false, "%s never waited", method);
}

static void cancelling(peerkit_t h, const struct peer *peer)
{
    int status;

    cancelled(h, "discover_peers", "{\"cancel_token\":78}");
    /* It is connected, and part of the DHT, and says nothing. */
    CHECK(kill(peer->pid, SIGSTOP) == 0 && waitpid(peer->pid, &status, WUNTRACED) == peer->pid, "SIGSTOP");
    cancelled(h, "find_peer", "{\"peer_id\":\"12D3KooWB8sCGZCrwr79HtabLAn95qyPQx6RYHXjEbiD6QKou7ww\",\"cancel_token\":78}");
    cancelled(h, "find_providers", "{\"cid\":\"" CID "\",\"limit\":100,\"cancel_token\":78}");
    CHECK(kill(peer->pid, SIGCONT) == 0, "SIGCONT");
    promise("a pass, a search for a peer and one for content are cancelled by their token");
}

static void stopping(peerkit_t h, peerkit_events_t e)
{
    struct waiting w = {h, "discover_peers", "{\"limit\":1000}", "closed"};
    pthread_t thread;

    /* A call joins the pass under way, and the one that was cancelled left its pass to itself: this waits for its end. */
    ok("discover_peers", op(h, "discover_peers", NULL));
    CHECK(pthread_create(&thread, NULL, wait_in_vain, &w) == 0, "pthread_create");
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    ok("stop", peerkit_stop(h, LONG_MS));
    pthread_join(thread, NULL);
    await_event(e, "stopped", "seq timestamp code");
    ok("events_close", peerkit_events_close(e));
    for (size_t i = 0; i < COUNT(operations); i++)
        refused(&operations[i], op(h, operations[i].name, NULL), "invalid_handle");
    promise("a stop ends a pass with closed; afterwards every operation is invalid_handle");
}

int main(void)
{
    struct peer peer = start_peer();
    peerkit_events_t e = 0;
    peerkit_t h;

    without_dht();
    h = start(CONFIG);
    ok("events_open", peerkit_events_open(h, "{\"since\":0}", &e));
    bad_calls(h);
    bad_values(h);
    too_much_to_say(h);
    ourselves(h);
    alone(h);
    bootstrap(h, e, &peer);
    discover(h, e);
    where_is(h, &peer);
    talk(h, e, &peer);
    daemons(h, &peer);
    cancelling(h, &peer);
    stopping(h, e);
    end_peer(&peer);
    return 0;
}
