/*
 * quickstart: start a peer, connect to another one, list who we know, disconnect, stop.
 *
 *   quickstart ADDRESS/p2p/ID [CONFIG_JSON]
 *
 * Every call blocks until it has an answer or its deadline passes. Every answer is one JSON object
 * that begins with {"success":true or {"success":false, and is ours to free.
 */
#include <peerkit.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_MS 10000

/* Says what was done and what came of it; frees the reply. */
static int done(const char *what, char *reply)
{
    const char *yes = "{\"success\":true";
    int ok = strncmp(reply, yes, strlen(yes)) == 0;

    printf("%s: %s\n  %s\n", what, ok ? "done" : "FAILED", reply);
    peerkit_string_free(reply);
    return ok;
}

/* The peer id at the end of .../p2p/ID, or NULL. */
static const char *id_in(const char *address)
{
    const char *id = NULL;

    for (const char *p = address; (p = strstr(p, "/p2p/")) != NULL; p += 5)
        id = p + 5;
    return id;
}

static int talk(peerkit_t node, const char *address, const char *id)
{
    if (!done("connect", peerkit_connect_peer(node, id, address, NULL, TIMEOUT_MS)))
        return 0;
    return done("list", peerkit_list_peers(node, "{\"filter_connected\":true}")) &&
           done("disconnect", peerkit_disconnect_peer(node, id, NULL, TIMEOUT_MS));
}

int main(int argc, char **argv)
{
    /* "offline" listens on loopback only, and sends nothing that wasn't asked for. */
    const char *config = argc > 2 ? argv[2] : "{\"profile\":\"offline\"}";
    const char *id = argc > 1 ? id_in(argv[1]) : NULL;
    peerkit_t node;
    int ok;

    if (id == NULL) {
        fprintf(stderr, "usage: %s ADDRESS/p2p/ID [CONFIG_JSON]\n", argv[0]);
        return 2;
    }
    printf("peerkit %s\n", peerkit_version());
    if (!done("start", peerkit_start(config, TIMEOUT_MS, &node)))
        return 1;
    ok = talk(node, argv[1], id);
    ok &= done("stop", peerkit_stop(node, TIMEOUT_MS));
    return ok ? 0 : 1;
}
