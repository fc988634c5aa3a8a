/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_MEM_H
#define PLUGIN_BASE_MEM_H
/*
 * The only door to the allocator. All functions: any thread; NULL when memory is out, which callers
 * treat as an ordinary error. mem_fault_after() lets tests make the n-th allocation fail.
 */
#include <stddef.h>

void *mem_alloc(size_t n);
void *mem_zalloc(size_t n);
/* As realloc: on failure the old block stays valid. */
void *mem_realloc(void *p, size_t n);
/* A copy of n bytes with a NUL behind them. The caller frees it. */
char *mem_dup(const void *p, size_t n);
void mem_free(void *p); /* NULL is fine */

/*
 * Tests only: the n-th allocation of this thread from now on (1 = the next) and all after it fail;
 * 0 turns that off. Returns how many allocations were made since the last call.
 */
unsigned long mem_fault_after(unsigned long n);
/* The same, and the n-th alone fails. */
unsigned long mem_fault_once(unsigned long n);

#define MEM_NEW(type) ((type *)mem_zalloc(sizeof(type)))

#endif
