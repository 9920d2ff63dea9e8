"""Tags products with Ray Data: every actor keeps a process of `mbsd tag --stdio` and sends it batches.

    python mbsd_ray.py --input PARQUET --output PARQUET --actors 8 -- --bundle BUNDLE --tags TAGS --threads 1

What follows `--` is passed on to `mbsd tag`. Bundle, tags and `mbsd` must be there on every machine. Columns as in docs/formats.md; a
row that has no result has an `error`: `code: message`.
"""

import argparse

import pyarrow as pa
import ray

from mbsd_stdio import TagProcess

# Enough that rows of like length meet in a batch of the model.
BATCH_ROWS = 512


class Tagger:
    """Tags the products of a table."""

    def __init__(self, arguments):
        self.process = TagProcess(arguments)

    def __call__(self, products):
        return pa.Table.from_batches(self.process.tag(products.schema, products.to_batches()))


def tag(products, arguments, actors):
    """The products of a data set with their tags, in at most `actors` processes."""
    return products.map_batches(
        Tagger,
        fn_constructor_args=(arguments,),
        batch_format="pyarrow",
        batch_size=BATCH_ROWS,
        # One at first: reading needs a core too.
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", required=True, help="Parquet file or folder with id, title, image")
    parser.add_argument("--output", required=True, help="Parquet folder to write")
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("arguments", nargs="+", help="passed on to `mbsd tag`")
    given = parser.parse_args()
    tag(ray.data.read_parquet(given.input), given.arguments, given.actors).write_parquet(given.output)
