/*
 * Reading peerkit's replies without a JSON library: just enough for watch.c. They are compact JSON, made by
 * peerkit; a program of some size would use a library all the same.
 */
#ifndef REPLY_H
#define REPLY_H

#include <stdio.h>
#include <string.h>

#define TEXT_MAX 256

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

#endif
