/*
 * Reading peerkit's replies, and writing what it is asked, without a JSON library: just enough for watch.c.
 * Replies are compact JSON, made by peerkit; a program of some size would use a library all the same.
 */
#ifndef REPLY_H
#define REPLY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 256
#define JSON_MAX 32768 /* what is written: a line of input fits, all of it escaped */
#define BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

/* The bytes of one JSON value inside a reply. */
struct span {
    const char *at, *end;
};

/* Just past the value that begins at p: brackets are counted, strings are skipped. */
static inline const char *past_value(const char *p)
{
    int depth = 0;

    for (; *p; p++) {
        if (*p == '"') {
            for (p++; *p && *p != '"'; p++)
                if (*p == '\\' && p[1])
                    p++;
            if (!*p)
                return p;
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if (*p == '}' || *p == ']') {
            if (--depth < 0)
                return p;
        } else if (depth == 0 && *p == ',') {
            return p;
        }
        if (depth == 0 && (*p == '"' || *p == '}' || *p == ']'))
            return p + 1;
    }
    return p;
}

/* The value of the first `"key":` in here. Inside a JSON string the second quote would have a
 * backslash before it, so remote text can't be mistaken for a key. */
static inline struct span field(struct span in, const char *key)
{
    char quoted[TEXT_MAX];
    struct span none = {NULL, NULL};
    const char *p;

    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    p = in.at ? strstr(in.at, quoted) : NULL;
    if (p == NULL || p >= in.end)
        return none;
    p += strlen(quoted);
    return (struct span){p, past_value(p)};
}

/* The next element of an array; `rest` starts as the array and shrinks. */
static inline int next_element(struct span *rest, struct span *element)
{
    const char *p = rest->at;

    while (p && p < rest->end && (*p == '[' || *p == ','))
        p++;
    if (p == NULL || p >= rest->end || *p == ']')
        return 0;
    element->at = p;
    rest->at = element->end = past_value(p);
    return 1;
}

/* JSON escapes the control characters below U+0020, not DEL and U+0080 to U+009F. */
static inline void disarm(char *s)
{
    for (; *s; s++)
        if (*s == 0x7f || (*s == '\xc2' && (unsigned char)s[1] >= 0x80 && (unsigned char)s[1] < 0xa0))
            *s = '?';
}

/* A value as text: strings without their quotes, `otherwise` for null or nothing. Escapes stay as they
 * are on purpose: a remote's agent string must not send control characters to our terminal. */
static inline const char *text(struct span v, const char *otherwise, char buf[TEXT_MAX])
{
    int quoted = v.at != NULL && *v.at == '"';
    int length = v.at ? (int)(v.end - v.at) - 2 * quoted : 0;

    if (v.at == NULL || strncmp(v.at, "null", 4) == 0)
        return otherwise;
    snprintf(buf, TEXT_MAX, "%.*s", length, v.at + quoted);
    disarm(buf);
    return buf;
}

static inline struct span whole(const char *reply)
{
    return (struct span){reply, reply + strlen(reply)};
}

static inline int succeeded(const char *reply)
{
    return strncmp(reply, "{\"success\":true", 15) == 0;
}

static inline int is(struct span v, const char *expected)
{
    char buf[TEXT_MAX];

    return strcmp(text(v, "", buf), expected) == 0;
}

/* The text in a base64 string, as much as fits. Whoever sent it may have sent anything: what isn't plain
 * ASCII becomes a question mark. */
static inline const char *decoded(struct span v, char buf[TEXT_MAX])
{
    const char *p = v.at ? v.at + 1 : NULL, *digit;
    unsigned bits = 0;
    size_t n = 0, read = 0;

    for (; p && p < v.end && (digit = strchr(BASE64, *p)) && n < TEXT_MAX - 1; p++) {
        bits = bits << 6 | (unsigned)(digit - BASE64);
        if (++read % 4 != 1) {
            unsigned char c = (unsigned char)(bits >> (6 - 2 * ((read - 1) % 4)));

            buf[n++] = c < ' ' || c > '~' ? '?' : (char)c;
        }
    }
    buf[n] = '\0';
    return buf;
}

/* ---- Writing: each appends to the text in `json` ---- */

static inline void append(char json[JSON_MAX], const char *raw)
{
    size_t at = strlen(json);

    snprintf(json + at, JSON_MAX - at, "%s", raw);
}

/* `"text"`, escaped. */
static inline void append_quoted(char json[JSON_MAX], const char *value)
{
    size_t at = strlen(json);

    if (at + 6 * strlen(value) + 3 > JSON_MAX) {
        fprintf(stderr, "that is too long\n");
        exit(2);
    }
    json[at++] = '"';
    for (; *value; value++) {
        if ((unsigned char)*value < 0x20) {
            at += (size_t)sprintf(json + at, "\\u%04x", *value);
            continue;
        }
        if (*value == '"' || *value == '\\')
            json[at++] = '\\';
        json[at++] = *value;
    }
    json[at++] = '"';
    json[at] = '\0';
}

/* `"base64"` of a text. */
static inline void append_base64(char json[JSON_MAX], const char *value)
{
    size_t length = strlen(value);
    const unsigned char *p = (const unsigned char *)value;

    append(json, "\"");
    for (size_t i = 0; i < length; i += 3) {
        unsigned bits = (unsigned)p[i] << 16 | (i + 1 < length ? p[i + 1] : 0u) << 8 | (i + 2 < length ? p[i + 2] : 0u);
        char group[5] = {BASE64[bits >> 18], BASE64[bits >> 12 & 63], i + 1 < length ? BASE64[bits >> 6 & 63] : '=',
                         i + 2 < length ? BASE64[bits & 63] : '=', '\0'};

        append(json, group);
    }
    append(json, "\"");
}

#endif
