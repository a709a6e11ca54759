/*
 * The API-set schema as a table: contract -> host module (facts 3.6).
 *
 * Generated from apisets.tsv; sorted by `contract`, which is in lower case and ends before the last
 * hyphen of the contract's name.
 */
#ifndef LDR_APISET_H
#define LDR_APISET_H

#include <stddef.h>

struct ldr_apiset {
    const char *contract;
    const char *host; /* "" = no module serves it */
};

extern const struct ldr_apiset ldr_apisets[];
extern const size_t ldr_apiset_count;

#endif
