/*
 * The modules that are in a list, by what they are asked for: base name, file, record.
 *
 * The lists stay the truth and their order; this finds in them in a time that does not grow with
 * their length. Under the loader lock.
 */
#ifndef LDR_INDEX_H
#define LDR_INDEX_H

#include "loader/ldr/module.h"

/* A module that was put into its list: `first` = in front of all others, else at the end. */
void ldr_index_add(struct ldr_module *module, bool first);
void ldr_index_remove(struct ldr_module *module);

/* Of several LDR_KIND_IMAGE modules that answer, the first in load order; NULL = none. */
struct ldr_module *ldr_index_name(const char *base_name);
struct ldr_module *ldr_index_file(const struct mm_file_id *file);
/* Whether a pointer is a module in any list. */
bool ldr_index_has(const struct ldr_module *module);

#endif
