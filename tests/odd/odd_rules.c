/*
 * Odd images: for each rule by which Windows refuses an image (pe/rules.h) one that it alone
 * refuses, and images that just meet it.
 */
#include "tests/odd/odd.h"

const char odd_area[] = "rules";

static void plain(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    odd_print(odd, "100% plain");
    odd_print_if32(odd, odd->b->sections[0].virtual_address + 12, 0, "no", "import name");
    odd_exit(odd, 3);
}

static void returns(struct odd *odd)
{
    odd_program(odd, PEBUILD_EXE);
    odd_print(odd, "returns");
    odd_return(odd, 5);
}

static void bad_base(struct odd *odd)
{
    plain(odd);
    odd->b->h.image_base = 0x408000;
}

const struct odd_row odd_rows[] = {
    {.name = "plain",
     .shows = "",
     .build = plain,
     .formats = ODD_BOTH,
     .map = "0 1000 R; 1000 1000 WC; 2000 1000 ER",
     .bytes = "0 4d 5a; 3000",
     .output = "100% plain\nimport name",
     .exit_code = 3},
    {.name = "returns", .build = returns, .formats = ODD_BOTH, .output = "returns", .exit_code = 5},
    {.name = "base-unaligned",
     .build = bad_base,
     .formats = ODD_BOTH,
     .refused = {"opt.image_base", "opt.image_base", "opt.image_base"},
     .alone = true},
    {0},
};
