/* See signature.h. */
#include "tools/signature.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    struct value_type type;
} type_names[] = {
    {"void", {VALUE_VOID, 0, false, 0}},
    {"i8", {VALUE_SIGNED, 1, false, 0}},
    {"i16", {VALUE_SIGNED, 2, false, 0}},
    {"i32", {VALUE_SIGNED, 4, false, 0}},
    {"i64", {VALUE_SIGNED, 8, false, 0}},
    {"u8", {VALUE_UNSIGNED, 1, false, 0}},
    {"u16", {VALUE_UNSIGNED, 2, false, 0}},
    {"u32", {VALUE_UNSIGNED, 4, false, 0}},
    {"u64", {VALUE_UNSIGNED, 8, false, 0}},
    {"f32", {VALUE_FLOAT, 4, false, 0}},
    {"f64", {VALUE_FLOAT, 8, false, 0}},
    {"ptr", {VALUE_POINTER, sizeof(void *), false, 0}},
    {"str", {VALUE_STR, sizeof(void *), false, 0}},
    {"wstr", {VALUE_WSTR, sizeof(void *), false, 0}},
    {"hex", {VALUE_HEX, sizeof(void *), false, 0}},
};

static const char *skip_space(const char *p)
{
    while (isspace((unsigned char)*p))
        p++;
    return p;
}

/* Reads a word of letters, digits and the characters of `also`. */
static const char *word(const char *p, const char *also, char *out, unsigned size)
{
    unsigned n = 0;
    p = skip_space(p);
    while ((isalnum((unsigned char)*p) || (*p && strchr(also, *p))) && n + 1 < size)
        out[n++] = *p++;
    out[n] = '\0';
    return skip_space(p);
}

static bool buffer_type(const char *name, struct value_type *out)
{
    char *end;
    unsigned long n;
    if (strncmp(name, "buf:", 4) != 0)
        return false;
    n = strtoul(name + 4, &end, 0);
    *out = (struct value_type){VALUE_BUFFER, sizeof(void *), false, (uint32_t)n};
    return *end == '\0' && end != name + 4 && n > 0 && n <= SIGNATURE_MAX_BUF;
}

static bool type_of(const char *name, struct value_type *out)
{
    size_t length = strlen(name);
    bool star = length > 1 && name[length - 1] == '*';
    for (unsigned i = 0; i < sizeof type_names / sizeof *type_names; i++) {
        const char *known = type_names[i].name;
        if (strlen(known) != length - star || strncmp(known, name, length - star) != 0)
            continue;
        *out = type_names[i].type;
        out->by_address = star;
        return !star || out->kind == VALUE_SIGNED || out->kind == VALUE_UNSIGNED ||
               out->kind == VALUE_FLOAT;
    }
    return buffer_type(name, out);
}

static const char *parse_type(const char *p, struct value_type *out, char *why, unsigned why_size)
{
    char name[64];
    const char *next = word(p, "*:_", name, sizeof name);
    if (type_of(name, out))
        return next;
    snprintf(why, why_size,
             "\"%s\" is no type; use void i8..i64 u8..u64 f32 f64 ptr str wstr hex buf:N or T*",
             *name ? name : p);
    return NULL;
}

/* An optional calling convention: stdcall or cdecl. */
static const char *parse_convention(const char *p, struct signature *out)
{
    char name[16];
    const char *next = word(p, "_", name, sizeof name);
    if (strcmp(name, "stdcall") != 0 && strcmp(name, "cdecl") != 0)
        return p;
    out->is_stdcall = *name == 's';
    return next;
}

static const char *parse_args(const char *p, struct signature *out, char *why, unsigned why_size)
{
    while (*p != ')') {
        if (out->count == SIGNATURE_MAX_ARGS) {
            snprintf(why, why_size, "more than %d arguments", SIGNATURE_MAX_ARGS);
            return NULL;
        }
        p = parse_type(p, &out->args[out->count], why, why_size);
        if (!p)
            return NULL;
        if (out->args[out->count].kind == VALUE_VOID) {
            if (out->count == 0 && *p == ')')
                break;
            snprintf(why, why_size, "an argument cannot be void");
            return NULL;
        }
        out->count++;
        if (*p == ',') {
            p = skip_space(p + 1);
            if (*p != ')')
                continue;
        } else if (*p == ')') {
            break;
        }
        snprintf(why, why_size, "expected a type or \")\" at \"%s\"", p);
        return NULL;
    }
    return skip_space(p + 1);
}

bool signature_parse(const char *text, struct signature *out, char *why, unsigned why_size)
{
    const char *p;
    *out = (struct signature){0};
    p = parse_type(parse_convention(skip_space(text), out), &out->result, why, why_size);
    if (!p)
        return false;
    if (out->result.by_address || out->result.kind == VALUE_BUFFER ||
        out->result.kind == VALUE_HEX) {
        snprintf(why, why_size, "a result is void, a number, ptr, str or wstr");
        return false;
    }
    p = word(parse_convention(p, out), "_?@$#.", out->name, sizeof out->name);
    if (!*out->name || *p != '(') {
        snprintf(why, why_size, "expected NAME(TYPE, ...) at \"%s\"", p);
        return false;
    }
    if (*out->name == '#') {
        out->by_ordinal = true;
        out->ordinal = (uint16_t)strtoul(out->name + 1, NULL, 10);
    }
    p = parse_args(skip_space(p + 1), out, why, why_size);
    if (p && *p)
        snprintf(why, why_size, "unexpected \"%s\" after the signature", p);
    return p && !*p;
}

int signature_given(const struct signature *signature)
{
    int given = 0;
    for (int i = 0; i < signature->count; i++)
        given += signature->args[i].kind != VALUE_BUFFER;
    return given;
}
