/*
 * The JSON document of a subcommand (jansson writes it).
 *
 * Every subcommand gathers one document; --json prints it, and the text is written from it too, so
 * the two never disagree. Keys are snake_case and stable; addresses are hex strings.
 */
#ifndef TOOLS_DOC_H
#define TOOLS_DOC_H

#include <jansson.h>

#include "pe/image.h"
#include "tools/cli.h"

/* {"schema": "peldr.<command>/1", "file": path} */
json_t *doc_new(const char *command, const char *path);
json_t *doc_hex(uint64_t value);     /* "0x1000" */
json_t *doc_str(struct pe_str text); /* bytes outside printable ASCII become \xNN */
json_t *doc_text(const char *text);  /* the same for a C string; NULL = null */
json_t *doc_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Takes the reference of `value`, as json_object_set_new does. */
void doc_set(json_t *object, const char *key, json_t *value);
/*
 * Tables of a hostile file may share their entries and names, so that a listing could be millions
 * of times as large as the file. `budget` begins as DOC_LISTING, enough for 200000 entries; false
 * when an entry with `length` bytes of names goes beyond it.
 */
#define DOC_LISTING 0x2000000u
bool doc_afford(uint32_t *budget, uint64_t length);
typedef void (*doc_printer)(json_t *doc);
/*
 * Shows and releases the document: as JSON, or by `print`. A document with the key "error" is a
 * failure: the sentence goes to stderr too and CLI_REFUSED is returned.
 */
int doc_show(json_t *doc, bool json, doc_printer print);
/* The whole of a subcommand that shows something about one file. `build` never returns NULL. */
int doc_command(int argc, char **argv, const struct cli_spec *spec, void *own,
                json_t *(*build)(const struct cli_file *file, void *own), doc_printer print);

/* Readers for the text form; 0 or "" when the key is missing. */
const char *doc_get(const json_t *object, const char *key);
json_int_t doc_int(const json_t *object, const char *key);

#endif
