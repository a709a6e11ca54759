/*
 * LDR_DATA_TABLE_ENTRY and PEB_LDR_DATA: the module list as images see it.
 *
 * Programs walk PEB.Ldr inline, so layout and order are Windows 10's (Windows Internals, "Image
 * loader"; offsets as in the public symbols of ntdll). Written by the loader, never read back.
 */
#ifndef LDR_ENTRY_H
#define LDR_ENTRY_H

#include "loader/ldr/module.h"

struct ldr_entry;

/* The entry of a mapped module, in no list yet. */
nt_status ldr_entry_create(const struct ldr_module *module, struct ldr_entry **out,
                           struct pe_error *err);
/* Unlinks it from all lists; NULL is allowed. */
void ldr_entry_destroy(struct ldr_entry *entry);
/* Into InLoadOrder and InMemoryOrder; `first` = the EXE. */
void ldr_entry_list(struct ldr_entry *entry, bool first);
/* Into InInitializationOrder. */
void ldr_entry_initialized(struct ldr_entry *entry);
/* ObsoleteLoadCount and the state bits of Flags, after the record changed. */
void ldr_entry_update(struct ldr_entry *entry, const struct ldr_module *module);
/* PEB_LDR_DATA.ShutdownInProgress. */
void ldr_entry_shutdown(void);

#endif
