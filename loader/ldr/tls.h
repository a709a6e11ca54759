/*
 * Static TLS of modules: slots, templates, the blocks of every thread (facts 3.7).
 */
#ifndef LDR_TLS_H
#define LDR_TLS_H

#include "loader/ldr/module.h"

/*
 * Reads the TLS directory of a mapped, relocated and still open module: gives it a slot, stores the
 * index where the directory says, makes a block for every registered thread. Nothing happens
 * without a directory.
 */
nt_status ldr_tls_attach(struct ldr_module *module, struct pe_error *err);
/* Frees the blocks and the slot; harmless when there are none. */
void ldr_tls_detach(struct ldr_module *module);
/* Calls the module's TLS callbacks with `reason`, re-reading the array entry by entry. */
void ldr_tls_call(const struct ldr_module *module, uint32_t reason);

#endif
