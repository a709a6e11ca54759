/* See doc.h. */
#include "tools/doc.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"

json_t *doc_new(const char *command, const char *path)
{
    char schema[64];
    json_t *doc = json_object();
    snprintf(schema, sizeof schema, "peldr.%s/1", command);
    doc_set(doc, "schema", json_string(schema));
    if (path)
        doc_set(doc, "file", doc_text(path));
    return doc;
}

json_t *doc_hex(uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "0x%" PRIx64, value);
    return json_string(text);
}

bool doc_afford(uint32_t *budget, uint64_t length)
{
    const uint32_t entry = 128;
    bool enough = length + entry <= *budget;
    *budget = enough ? *budget - entry - (uint32_t)length : 0;
    return enough;
}

json_t *doc_str(struct pe_str text)
{
    char *out = malloc((size_t)text.len * 4 + 1), *p = out;
    json_t *value;
    if (!out)
        exit(cli_fail("not enough memory"));
    for (uint32_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c >= 0x20 && c < 0x7f)
            *p++ = (char)c;
        else
            p += sprintf(p, "\\x%02x", c);
    }
    *p = '\0';
    value = json_string(out);
    free(out);
    return value;
}

json_t *doc_text(const char *text)
{
    json_t *value = text ? json_string(text) : json_null();
    return value ? value : doc_str((struct pe_str){text, (uint32_t)strlen(text)});
}

json_t *doc_format(const char *fmt, ...)
{
    char *text;
    json_t *value;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        exit(cli_fail("not enough memory"));
    va_end(ap);
    value = doc_text(text);
    free(text);
    return value;
}

void doc_set(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        exit(cli_fail("not enough memory"));
}

int doc_show(json_t *doc, bool json, doc_printer print)
{
    const char *error = doc_get(doc, "error");
    int status = *error ? CLI_REFUSED : CLI_OK;
    if (json) {
        json_dumpf(doc, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print(doc);
    }
    if (*error)
        cli_fail("%s", error);
    json_decref(doc);
    return status;
}

int doc_command(int argc, char **argv, const struct cli_spec *spec, void *own,
                json_t *(*build)(const struct cli_file *file, void *own), doc_printer print)
{
    struct cli cli;
    struct cli_file file;
    json_t *doc;

    cli_parse(spec, argc, argv, &cli, own);
    if (!cli_file_open(cli.args[0], &file))
        return CLI_REFUSED;
    doc = build(&file, own);
    cli_file_close(&file);
    return doc_show(doc, cli.json, print);
}

const char *doc_get(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

json_int_t doc_int(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}
