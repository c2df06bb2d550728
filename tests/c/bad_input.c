/*
 * Whatever a caller gets wrong, the answer is a reply with a code: never a crash, never a lost manager.
 * Every function meets NULL, bad text, bad JSON, bad handles, bad ids, bad addresses and bad timeouts;
 * at the end the manager that went through all of it still answers.
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include <limits.h>

#define MIB (1024u * 1024u)
#define MAX_TIMEOUT_MS 3600000u
#define TOO_LONG_MS (MAX_TIMEOUT_MS + 1)

/* Peers that exist nowhere, in the forms a user may hold. */
#define ID "12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7"
#define ID_BASE32 "bafzaajaiaejcb2sknrr6fhcsbk7pkud3cmxml6mvi53k5pv6pojeehxknekenurm"
#define ID_BASE36 "k51qzi5uqu5dm0t4vbwri4lkg76q03b4x9tsvekgvbu4zli6454ff7w8wdosa4"
#define OTHER_ID "12D3KooWB8sCGZCrwr79HtabLAn95qyPQx6RYHXjEbiD6QKou7ww"
#define LEGACY_ID "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
#define LEGACY_BASE32 "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe"
#define LEGACY_BASE36 "k2k4r8ncs1yoluq95unsd7x2vfhgve0ncjoggwqx9vyh3vl8warrcp15"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char bad_utf8[] = "{\"search\":\"\xff\xfe\"}";

/* Every function that takes a manager's handle, called with nothing else wrong. */
struct operation {
    const char *name;
    char *(*run)(peerkit_t h);
    const char *arrays[3]; /* the top-level arrays of its success reply */
};

static char *run_stop(peerkit_t h) { return peerkit_stop(h, T_MS); }
static char *run_status(peerkit_t h) { return peerkit_status(h); }
static char *run_get_peers(peerkit_t h) { return peerkit_get_peers(h, NULL); }
static char *run_list_peers(peerkit_t h) { return peerkit_list_peers(h, NULL); }
static char *run_get_peer(peerkit_t h) { return peerkit_get_peer(h, ID, NULL); }
static char *run_connect(peerkit_t h) { return peerkit_connect_peer(h, ID, NULL, NULL, T_MS); }
static char *run_disconnect(peerkit_t h) { return peerkit_disconnect_peer(h, ID, NULL, T_MS); }
static char *run_ping(peerkit_t h) { return peerkit_ping_peer(h, ID, NULL, T_MS); }
static char *run_stats(peerkit_t h) { return peerkit_get_peer_stats(h, NULL); }
static char *run_call(peerkit_t h) { return peerkit_call(h, "list_peers", NULL, T_MS); }
static char *run_cancel(peerkit_t h) { return peerkit_cancel(h, 1); }

static char *run_events_open(peerkit_t h)
{
    peerkit_events_t out = 99;
    char *reply = peerkit_events_open(h, NULL, &out);

    CHECK(out == 0, "events_open with a bad handle left out = %llu", (unsigned long long)out);
    return reply;
}

static const struct operation operations[] = {
    {"stop", run_stop, {0}},
    {"status", run_status, {"listen_addrs", "warnings"}},
    {"get_peers", run_get_peers, {"peers"}},
    {"list_peers", run_list_peers, {"peers"}},
    {"get_peer", run_get_peer, {0}},
    {"connect_peer", run_connect, {"attempts"}},
    {"disconnect_peer", run_disconnect, {0}},
    {"ping_peer", run_ping, {"rtts_ms"}},
    {"get_peer_stats", run_stats, {"protocols_supported"}},
    {"call list_peers", run_call, {"peers"}},
    {"cancel", run_cancel, {0}},
    {"events_open", run_events_open, {0}},
};

static void check_empty_arrays(const struct operation *op, const char *reply)
{
    for (size_t i = 0; i < COUNT(op->arrays) && op->arrays[i]; i++)
        CHECK(json_is(reply, op->arrays[i], "[]"), "%s fails without an empty \"%s\": %s", op->name, op->arrays[i], reply);
}

static void bad_handles(peerkit_t h, peerkit_events_t e)
{
    const uint64_t bad[] = {0, e, h + 1000, UINT64_C(1) << 53, (UINT64_C(1) << 53) + h, (UINT64_C(1) << 32) + h,
                            INT64_MAX, UINT64_MAX};

    for (size_t i = 0; i < COUNT(operations); i++)
        for (size_t j = 0; j < COUNT(bad); j++) {
            char *reply = want_code(operations[i].name, operations[i].run(bad[j]), "invalid_handle");

            check_empty_arrays(&operations[i], reply);
            peerkit_string_free(reply);
        }
    promise("zero, foreign and invented handles are invalid_handle everywhere, with empty arrays in the reply");
}

static void bad_events_handles(peerkit_t h, peerkit_events_t e)
{
    const uint64_t bad[] = {0, h, e + 1000, UINT64_C(1) << 53, (UINT64_C(1) << 32) + e, UINT64_MAX};

    for (size_t i = 0; i < COUNT(bad); i++) {
        char *reply = want_code("events_next", peerkit_events_next(bad[i], 0), "invalid_handle");

        CHECK(json_is(reply, "events", "[]"), "events_next fails without an empty \"events\": %s", reply);
        peerkit_string_free(reply);
        fails("events_close", peerkit_events_close(bad[i]), "invalid_handle");
        CHECK(peerkit_events_fd(bad[i]) == -1, "events_fd of a bad handle");
    }
    ok("events_next after all that", peerkit_events_next(e, 0));
    promise("zero, foreign and invented events handles are invalid_handle, and -1 for events_fd");
}

static void bad_start(void)
{
    const char *configs[] = {"", "{", "[]", "7", "\"offline\"", "{}x", "{\"profile\":7}", "{\"profile\":\"moon\"}",
                             "{\"profil\":\"offline\"}", "{\"listen\":\"/ip4/127.0.0.1/tcp/0\"}",
                             "{\"listen\":[\"nonsense\"]}", "{\"listen\":[\"/ip4/127.0.0.1/tcp/99999\"]}",
                             "{\"limits\":{\"max_conections\":5}}", "{\"default_timeout_ms\":-1}",
                             "{\"identity\":\"not a key\"}", "{\"data_dir\":\"\xff\"}"};

    for (size_t i = 0; i < COUNT(configs); i++) {
        peerkit_t out = 99;

        fails(configs[i], peerkit_start(configs[i], T_MS, &out),
              "invalid_argument|config_invalid|invalid_multiaddr|identity");
        CHECK(out == 0, "start with %s left out = %llu", configs[i], (unsigned long long)out);
    }
    fails("start, out NULL", peerkit_start(OFFLINE, T_MS, NULL), "invalid_argument");
    fails("current, out NULL", peerkit_current(NULL), "invalid_argument");
    promise("a bad configuration starts nothing and leaves out = 0");
}

static void bad_start_details(void)
{
    peerkit_t out = 99;
    char *reply = want_code("start, unknown key", peerkit_start("{\"profil\":\"offline\"}", T_MS, &out),
                            "invalid_argument|config_invalid");

    CHECK(strstr(reply, "profil") && strstr(reply, "profile"), "should name the key and the nearest: %s", reply);
    peerkit_string_free(reply);
    fails("start, timeout", peerkit_start(OFFLINE, TOO_LONG_MS, &out), "invalid_argument");
    CHECK(out == 0, "start with a bad timeout left out = %llu", (unsigned long long)out);
    out = 99;
    fails("current", peerkit_current(&out), "not_running");
    CHECK(out == 0, "current left out = %llu", (unsigned long long)out);
    promise("an unknown configuration key is named with the nearest known one; nothing runs after bad starts");
}

static void null_arguments(peerkit_t h)
{
    fails("get_peer NULL", peerkit_get_peer(h, NULL, NULL), "invalid_argument");
    fails("connect_peer NULL NULL", peerkit_connect_peer(h, NULL, NULL, NULL, T_MS), "invalid_argument");
    fails("disconnect_peer NULL", peerkit_disconnect_peer(h, NULL, NULL, T_MS), "invalid_argument");
    fails("ping_peer NULL", peerkit_ping_peer(h, NULL, NULL, T_MS), "invalid_argument");
    fails("call NULL", peerkit_call(h, NULL, "{}", T_MS), "invalid_argument");
    fails("events_open NULL", peerkit_events_open(h, NULL, NULL), "invalid_argument");
    peerkit_string_free(NULL);
    ok("list_peers, options NULL", peerkit_list_peers(h, NULL));
    ok("call, params NULL", peerkit_call(h, "status", NULL, T_MS));
    promise("NULL is invalid_argument where a value is required, fine where it isn't, a no-op to free");
}

/* Runs every function that takes options or params with this text in their place. */
static void all_options(peerkit_t h, const char *options, const char *codes)
{
    peerkit_events_t e = 99;

    fails("get_peers", peerkit_get_peers(h, options), codes);
    fails("list_peers", peerkit_list_peers(h, options), codes);
    fails("get_peer", peerkit_get_peer(h, ID, options), codes);
    fails("connect_peer", peerkit_connect_peer(h, ID, NULL, options, T_MS), codes);
    fails("disconnect_peer", peerkit_disconnect_peer(h, ID, options, T_MS), codes);
    fails("ping_peer", peerkit_ping_peer(h, ID, options, T_MS), codes);
    fails("get_peer_stats", peerkit_get_peer_stats(h, options), codes);
    fails("call", peerkit_call(h, "list_peers", options, T_MS), codes);
    fails("events_open", peerkit_events_open(h, options, &e), codes);
    CHECK(e == 0, "events_open left out = %llu", (unsigned long long)e);
}

static void bad_options(peerkit_t h)
{
    const char *bad[] = {"", " ", "{", "}", "[]", "[1]", "1", "\"x\"", "true", "{}x", "{} {}", "{'a':1}",
                         "{\"no_such_key\":1}", "{\"cancel_token\":\"7\"}", "{\"cancel_token\":-1}",
                         "{\"cancel_token\":1.5}", "{\"cancel_token\":1,\"cancel_token\":1}", bad_utf8};
    char *deep = malloc(200001);

    for (size_t i = 0; i < COUNT(bad); i++)
        all_options(h, bad[i], "invalid_argument");
    memset(deep, '[', 200000);
    deep[200000] = '\0';
    all_options(h, deep, "invalid_argument");
    free(deep);
    promise("options that aren't a JSON object of known keys and right types are invalid_argument everywhere");
}

static void unknown_keys_are_named(peerkit_t h)
{
    char *reply = want_code("list_peers", peerkit_list_peers(h, "{\"limitt\":5}"), "invalid_argument");

    CHECK(strstr(reply, "limitt") && strstr(strstr(reply, "limitt") + 6, "limit"),
          "should name the key and the nearest: %s", reply);
    CHECK(json_is(reply, "peers", "[]"), "no empty peers: %s", reply);
    peerkit_string_free(reply);
    promise("an unknown option is named with the nearest known one");
}

/* A text of `size` bytes: spaces, with `head` in front. */
static char *padded(const char *head, size_t size)
{
    char *text = malloc(size + 1);

    memset(text, ' ', size);
    memcpy(text, head, strlen(head));
    text[size] = '\0';
    return text;
}

static void long_strings(peerkit_t h)
{
    char *limit = padded("{}", MIB), *over = padded("{}", MIB + 1);
    peerkit_t out = 99;

    ok("list_peers, 1 MiB of options", peerkit_list_peers(h, limit));
    all_options(h, over, "invalid_argument");
    fails("start", peerkit_start(over, T_MS, &out), "invalid_argument|config_invalid");
    CHECK(out == 0, "start left out = %llu", (unsigned long long)out);
    memset(over, 'Q', MIB + 1);
    fails("get_peer", peerkit_get_peer(h, over, NULL), "invalid_argument|invalid_peer_id");
    fails("connect_peer, id", peerkit_connect_peer(h, over, NULL, NULL, T_MS), "invalid_argument|invalid_peer_id");
    fails("connect_peer, address", peerkit_connect_peer(h, NULL, over, NULL, T_MS), "invalid_argument|invalid_multiaddr");
    fails("disconnect_peer", peerkit_disconnect_peer(h, over, NULL, T_MS), "invalid_argument|invalid_peer_id");
    fails("ping_peer", peerkit_ping_peer(h, over, NULL, T_MS), "invalid_argument|invalid_peer_id");
    fails("call", peerkit_call(h, over, NULL, T_MS), "invalid_argument|unknown_method");
    free(limit);
    free(over);
    promise("strings of 1 MiB are read, a byte more is refused");
}

static void bad_ranges(peerkit_t h)
{
    const char *list[] = {"{\"limit\":0}", "{\"limit\":501}", "{\"limit\":-1}", "{\"limit\":1.5}", "{\"limit\":1e30}",
                          "{\"limit\":\"5\"}", "{\"limit\":true}", "{\"limit\":[]}", "{\"offset\":-1}",
                          "{\"offset\":0.5}", "{\"offset\":18446744073709551616}", "{\"offset\":\"0\"}",
                          "{\"filter_connected\":\"yes\"}", "{\"filter_protocol\":7}", "{\"sort\":\"age\"}",
                          "{\"sort\":7}", "{\"cursor\":\"garbage\"}", "{\"policy\":\"maybe\"}"};
    const char *get[] = {"{\"limit\":0}", "{\"limit\":10001}", "{\"limit\":-1}", "{\"limit\":1.5}",
                         "{\"status\":\"asleep\"}", "{\"search\":7}", "{\"offset\":0}"};

    for (size_t i = 0; i < COUNT(list); i++) {
        char *reply = want_code(list[i], peerkit_list_peers(h, list[i]), "invalid_argument");

        CHECK(json_is(reply, "peers", "[]"), "no empty peers: %s", reply);
        peerkit_string_free(reply);
        fails(list[i], peerkit_call(h, "list_peers", list[i], T_MS), "invalid_argument");
    }
    for (size_t i = 0; i < COUNT(get); i++) {
        char *reply = want_code(get[i], peerkit_get_peers(h, get[i]), "invalid_argument");

        CHECK(json_is(reply, "peers", "[]"), "no empty peers: %s", reply);
        peerkit_string_free(reply);
    }
    promise("limits and offsets out of range, and values of the wrong type, are invalid_argument");
}

static void good_ranges(peerkit_t h)
{
    const char *past_end[] = {"{\"offset\":1000}", "{\"offset\":9007199254740991}", "{\"limit\":500,\"offset\":501}"};

    for (size_t i = 0; i < COUNT(past_end); i++) {
        char *reply = want_ok(past_end[i], peerkit_list_peers(h, past_end[i]));

        CHECK(json_is(reply, "peers", "[]") && json_is(reply, "pagination.has_more", "false"), "%s", reply);
        peerkit_string_free(reply);
    }
    ok("limit 1", peerkit_list_peers(h, "{\"limit\":1}"));
    ok("limit 500", peerkit_list_peers(h, "{\"limit\":500}"));
    ok("get_peers limit 10000", peerkit_get_peers(h, "{\"limit\":10000}"));
    promise("an offset past the end is an empty page with has_more false");
}

/* Runs every operation that takes an id with this one. */
static void all_ids(peerkit_t h, const char *id, const char *codes)
{
    fails("get_peer", peerkit_get_peer(h, id, NULL), codes);
    fails("connect_peer", peerkit_connect_peer(h, id, NULL, NULL, T_MS), codes);
    fails("connect_peer, with address", peerkit_connect_peer(h, id, "/ip4/127.0.0.1/tcp/1", NULL, T_MS), codes);
    fails("disconnect_peer", peerkit_disconnect_peer(h, id, NULL, T_MS), codes);
    fails("ping_peer", peerkit_ping_peer(h, id, NULL, T_MS), codes);
    fails("call get_peer", call(h, "get_peer", "{\"peer_id\":\"%s\"}", id), codes);
    fails("call add_peer", call(h, "add_peer", "{\"peer_id\":\"%s\",\"multiaddrs\":[\"/ip4/127.0.0.1/tcp/1\"]}", id), codes);
    fails("call remove_peer", call(h, "remove_peer", "{\"peer_id\":\"%s\"}", id), codes);
}

static void bad_ids(peerkit_t h)
{
    /* The last three: a raw CID, a dag-pb CID, and a peer's CID cut short. */
    const char *bad[] = {"11", "1", "x", "0OIl", "/p2p/", "/ipfs/", "/p2p/11", "12D3KooW",
                         "12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4A", "Qm", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5",
                         " " ID, ID " ", ID ID, "\xc3\xa9", "\xf0\x9f\x92\xa9",
                         "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
                         "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
                         "bafzaajaiaejcb2sknrr6fhcsbk7pkud3cmxml6mvi53k5pv6pojeehxkneken"};

    for (size_t i = 0; i < COUNT(bad); i++)
        all_ids(h, bad[i], "invalid_peer_id");
    all_ids(h, "", "invalid_peer_id|invalid_argument");
    fails("get_peer, bad UTF-8", peerkit_get_peer(h, "\xff", NULL), "invalid_argument|invalid_peer_id");
    fails("ping_peer, bad UTF-8", peerkit_ping_peer(h, "\xff", NULL, T_MS), "invalid_argument|invalid_peer_id");
    promise("what is no peer id is invalid_peer_id everywhere: \"11\", cut short, CIDs of other codecs");
}

static void good_ids(peerkit_t h)
{
    const char *forms[] = {ID, ID_BASE32, ID_BASE36, "/p2p/" ID, "/ipfs/" ID, "/p2p/" ID_BASE32, "/ipfs/" ID_BASE36,
                           LEGACY_ID, LEGACY_BASE32, LEGACY_BASE36, "/p2p/" LEGACY_ID, "/p2p/" LEGACY_BASE36};

    for (size_t i = 0; i < COUNT(forms); i++)
        fails(forms[i], peerkit_get_peer(h, forms[i], NULL), "peer_not_found");
    ok("add_peer", call(h, "add_peer", "{\"peer_id\":\"%s\",\"multiaddrs\":[\"/ip4/127.0.0.1/tcp/1\"]}", ID_BASE36));
    for (size_t i = 0; i < 7; i++) {
        char *reply = want_ok(forms[i], peerkit_get_peer(h, forms[i], NULL));

        CHECK(json_is(reply, "peer_info.peer_id", "\"" ID "\""), "not answered in base58: %s", reply);
        peerkit_string_free(reply);
    }
    ok("remove_peer", call(h, "remove_peer", "{\"peer_id\":\"%s\"}", ID));
    promise("every form of a peer id is read, and answered in base58");
}

static void bad_addresses(peerkit_t h)
{
    const char *bad[] = {"nonsense", "/", "//", "/ip4", "/ip4/127.0.0.1/tcp", "/ip4/127.0.0.1/tcp/99999",
                         "/ip4/300.1.1.1/tcp/1", "/ip4/127.0.0.1/tcp/-1", "/ip4/127.0.0.1/tcp/1/p2p/11",
                         "/ip4/127.0.0.1/tcp/1/p2p/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
                         "/nosuch/1", "127.0.0.1:4001", "http://127.0.0.1:4001"};

    for (size_t i = 0; i < COUNT(bad); i++) {
        fails(bad[i], peerkit_connect_peer(h, NULL, bad[i], NULL, T_MS), "invalid_multiaddr|invalid_peer_id");
        fails(bad[i], peerkit_connect_peer(h, ID, bad[i], NULL, T_MS), "invalid_multiaddr|invalid_peer_id");
        fails(bad[i], call(h, "add_peer", "{\"peer_id\":\"%s\",\"multiaddrs\":[\"%s\"]}", ID, bad[i]),
              "invalid_multiaddr|invalid_peer_id");
    }
    fails("connect_peer \"\"", peerkit_connect_peer(h, NULL, "", NULL, T_MS), "invalid_multiaddr|invalid_argument");
    fails("connect_peer, bad UTF-8", peerkit_connect_peer(h, NULL, "/dns4/\xff/tcp/1", NULL, T_MS),
          "invalid_multiaddr|invalid_argument");
    fails("get_peer after a failed add_peer", peerkit_get_peer(h, ID, NULL), "peer_not_found");
    promise("what is no address is invalid_multiaddr, and nothing of a refused call is kept");
}

static void unsupported_addresses(peerkit_t h)
{
    const char *other[] = {"/ip4/127.0.0.1", "/ip4/127.0.0.1/udp/4001", "/unix/tmp%2Fsocket", "/memory/7",
                           "/ip4/127.0.0.1/sctp/4001"};

    for (size_t i = 0; i < COUNT(other); i++)
        fails(other[i], peerkit_connect_peer(h, NULL, other[i], NULL, 5000), "unsupported|invalid_multiaddr|dial_failed");
    promise("addresses of transports that aren't there fail at once, with a code");
}

static void contradictions(peerkit_t h)
{
    const char *address = "/ip4/127.0.0.1/tcp/1/p2p/" OTHER_ID;

    fails("connect_peer", peerkit_connect_peer(h, ID, address, NULL, T_MS), "invalid_argument");
    fails("call connect_peer", call(h, "connect_peer", "{\"peer_id\":\"%s\",\"multiaddr\":\"%s\"}", ID, address),
          "invalid_argument");
    fails("call connect_peer {}", call(h, "connect_peer", "{}"), "invalid_argument");
    fails("unknown peer", peerkit_connect_peer(h, ID, NULL, NULL, T_MS), "no_addresses");
    fails("add_peer", call(h, "add_peer", "{\"peer_id\":\"%s\",\"multiaddrs\":[\"%s\"]}", ID, address), "invalid_argument");
    promise("an id that differs from the address's /p2p/ is invalid_argument, and nothing is dialled");
}

static void bad_calls(peerkit_t h)
{
    const char *unknown[] = {"", "nosuch", "List_peers", "list_peers ", "peerkit_list_peers", "\xc3\xa9"};

    for (size_t i = 0; i < COUNT(unknown); i++)
        fails(unknown[i], peerkit_call(h, unknown[i], "{}", T_MS), "unknown_method|invalid_argument");
    fails("call, bad UTF-8", peerkit_call(h, "\xff", "{}", T_MS), "invalid_argument|unknown_method");
    fails("search_peers without query", call(h, "search_peers", "{}"), "invalid_argument");
    fails("search_peers, query a number", call(h, "search_peers", "{\"query\":7}"), "invalid_argument");
    fails("get_peer without id", call(h, "get_peer", "{}"), "invalid_argument");
    fails("add_peer, addresses no array", call(h, "add_peer", "{\"peer_id\":\"%s\",\"multiaddrs\":7}", ID), "invalid_argument");
    fails("status with a parameter", call(h, "status", "{\"verbose\":true}"), "invalid_argument");
    promise("unknown methods are unknown_method, missing and mistyped parameters invalid_argument");
}

static void bad_pings(peerkit_t h)
{
    const char *counts[] = {"{\"count\":0}", "{\"count\":101}", "{\"count\":-1}", "{\"count\":1.5}", "{\"count\":\"3\"}"};

    fails("ping, unknown", peerkit_ping_peer(h, ID, NULL, T_MS), "peer_not_found");
    fails("disconnect, unknown", peerkit_disconnect_peer(h, ID, NULL, T_MS), "peer_not_found");
    ok("add_peer", call(h, "add_peer", "{\"peer_id\":\"%s\",\"multiaddrs\":[\"/ip4/127.0.0.1/tcp/1\"]}", ID));
    for (size_t i = 0; i < COUNT(counts); i++)
        fails(counts[i], peerkit_ping_peer(h, ID, counts[i], T_MS), "invalid_argument");
    fails("ping, not connected", peerkit_ping_peer(h, ID, NULL, T_MS), "not_connected");
    ok("remove_peer", call(h, "remove_peer", "{\"peer_id\":\"%s\"}", ID));
    promise("ping counts out of range are refused, and ping never dials");
}

static void bad_timeouts(peerkit_t h, peerkit_events_t e)
{
    const uint32_t bad[] = {TOO_LONG_MS, UINT32_MAX};
    peerkit_t out = 99;

    for (size_t i = 0; i < COUNT(bad); i++) {
        fails("start", peerkit_start(NULL, bad[i], &out), "invalid_argument");
        fails("stop", peerkit_stop(h, bad[i]), "invalid_argument");
        fails("connect_peer", peerkit_connect_peer(h, ID, "/ip4/127.0.0.1/tcp/1", NULL, bad[i]), "invalid_argument");
        fails("disconnect_peer", peerkit_disconnect_peer(h, ID, NULL, bad[i]), "invalid_argument");
        fails("ping_peer", peerkit_ping_peer(h, ID, NULL, bad[i]), "invalid_argument");
        fails("call", peerkit_call(h, "status", NULL, bad[i]), "invalid_argument");
        fails("events_next", peerkit_events_next(e, bad[i]), "invalid_argument");
    }
    ok("the longest timeout there is", peerkit_call(h, "status", NULL, MAX_TIMEOUT_MS));
    promise("timeouts over an hour are invalid_argument, and stop nothing");
}

static void short_timeouts(peerkit_t h)
{
    char address[TEXT_MAX];
    uint16_t port;
    int server = silent_server(&port);
    double began = now_ms();

    snprintf(address, sizeof address, "/ip4/127.0.0.1/tcp/%u", port);
    fails("connect_peer in 1 ms", peerkit_connect_peer(h, NULL, address, NULL, 1), "dial_timeout|timeout");
    CHECK(now_ms() - began < 2000, "1 ms took %.0f ms", now_ms() - began);
    close(server);
    ok("call in 1 ms", peerkit_call(h, "list_peers", NULL, 1));
    promise("a timeout of 1 ms is kept");
}

static void stray_cancels(peerkit_t h)
{
    const uint64_t tokens[] = {0, 1, UINT64_C(1) << 53, UINT64_MAX};

    for (size_t i = 0; i < COUNT(tokens); i++) {
        char *reply = peerkit_cancel(h, tokens[i]);

        check_envelope("cancel", reply);
        peerkit_string_free(reply);
    }
    promise("cancelling what nobody waits for is answered");
}

static void versions(void)
{
    CHECK(peerkit_version() != NULL && strlen(peerkit_version()) >= 5, "version");
    CHECK(peerkit_version() == peerkit_version(), "the version isn't static text");
    CHECK(peerkit_abi_version() >= 1, "abi_version %u", peerkit_abi_version());
    promise("the version functions answer");
}

static void stale_handles(peerkit_t h, peerkit_events_t e)
{
    ok("stop", peerkit_stop(h, T_MS));
    for (size_t i = 1; i < COUNT(operations); i++) { /* stop is the one that may be repeated */
        char *reply = want_code(operations[i].name, operations[i].run(h), "invalid_handle");

        check_empty_arrays(&operations[i], reply);
        peerkit_string_free(reply);
    }
    ok("events_close", peerkit_events_close(e));
    ok("events_close again", peerkit_events_close(e));
    fails("events_next after close", peerkit_events_next(e, 0), "invalid_handle|closed");
    CHECK(peerkit_events_fd(e) == -1, "events_fd after close");
    promise("handles of a stopped run are invalid_handle");
}

int main(void)
{
    peerkit_t h;
    peerkit_events_t e = 0;

    versions();
    bad_start();
    bad_start_details();
    h = start(OFFLINE);
    ok("events_open", peerkit_events_open(h, NULL, &e));
    null_arguments(h);
    bad_handles(h, e);
    bad_events_handles(h, e);
    bad_options(h);
    unknown_keys_are_named(h);
    long_strings(h);
    bad_ranges(h);
    good_ranges(h);
    bad_ids(h);
    good_ids(h);
    bad_addresses(h);
    unsupported_addresses(h);
    contradictions(h);
    bad_calls(h);
    bad_pings(h);
    bad_timeouts(h, e);
    short_timeouts(h);
    stray_cancels(h);
    ok("status after all that", peerkit_status(h));
    stale_handles(h, e);
    return 0;
}
