//! One-way attention: a product is read once for all tags that are asked about it.
//!
//! The context, `title [SEP]` and the image's tokens, attends to itself only, and is the same whatever is asked. The tokens of
//! a tag, `[CLS] tag [SEP]`, attend to the context and to themselves; the tag's answer is read off its `[CLS]`. Tags know
//! nothing of one another. All of it equals one sequence under a mask (tests/one_way/main.rs), at the price of the tags' own
//! tokens.

use burn::tensor::{Int, Tensor};

use crate::arithmetic::single;
use crate::encoder::{Attention, Encoder, KeyValue, Layer, linear};
use crate::image::PatchInput;
use crate::kernels;
use crate::model::{Mbsd, Side, hidden_positions, joined};

/// Titles of products, `title [SEP]`.
#[derive(Debug, Clone)]
pub struct TitleInput {
    /// Token ids, `[batch, text]`.
    pub input_ids: Tensor<2, Int>,
    /// 1 for a token, 0 for padding, `[batch, text]`. `None` where no title is padded.
    pub attention_mask: Option<Tensor<2, Int>>,
}

/// Tags to be asked about products, `[CLS] tag [SEP]` each.
#[derive(Debug, Clone)]
pub struct TagInput {
    /// Token ids, `[batch, tags, tag_text]`.
    pub tag_ids: Tensor<3, Int>,
    /// 1 for a token, 0 for padding, `[batch, tags, tag_text]`. `None` where no tag is padded.
    pub tag_mask: Option<Tensor<3, Int>>,
}

/// What tags see of products: one entry a layer, in order.
#[derive(Debug, Clone)]
pub struct Context {
    /// Keys and values of title and image, `[batch, context, hidden]` each.
    pub layers: Vec<KeyValue>,
    /// Added to the scores of the context's positions, `[batch, context]`. `None` where none is hidden.
    pub mask: Option<Tensor<2>>,
}

/// Shape of a batch of tags.
#[derive(Debug, Clone, Copy)]
struct Tags {
    batch: usize,
    tags: usize,
    /// Tokens of each.
    text: usize,
}

impl Mbsd {
    /// Reads products: titles, whose first token stands at `title_position`, images, or both.
    ///
    /// # Panics
    /// If both are `None`, their batch sizes differ, or a title goes beyond the last position.
    pub fn context(&self, title: Option<TitleInput>, patches: Option<PatchInput>, title_position: usize) -> Context {
        let title = title.map(|TitleInput { input_ids, attention_mask }| Side {
            tokens: self.embeddings.forward_at(input_ids, 1, title_position) + self.modality_vector(0),
            mask: attention_mask.map(hidden_positions),
        });
        let (tokens, mask) = joined(title, patches.map(|patches| self.image_side(patches)));
        Context { layers: self.encoder.context(self.arithmetic().enter(tokens), mask.clone()), mask: mask.map(flat) }
    }

    /// The pooled vector of each tag, `[batch, tags, hidden]`, over products that were read.
    ///
    /// # Panics
    /// If there are not as many rows of tags as products, no tags, or more tokens of a tag than positions.
    pub fn pooled_tags(&self, tags: TagInput, context: &Context) -> Tensor<3> {
        let TagInput { tag_ids, tag_mask } = tags;
        let [batch, count, text] = tag_ids.dims();
        let shape = Tags { batch, tags: count, text };
        // Each tag is a row of its own here: positions start anew.
        let rows = self.embeddings.forward_at(tag_ids.reshape([batch * count, text]), 0, 0) + self.modality_vector(0);
        let [_, _, hidden] = rows.dims();
        let own_mask = tag_mask.map(|mask| hidden_positions(mask.reshape([batch * count, text])));
        let tokens = self.arithmetic().enter(rows).reshape([batch, count * text, hidden]);
        let first = self.encoder.tags(tokens, context, own_mask, shape);
        let pooled = self.pooler.forward(first.reshape([batch * count, 1, hidden]));
        pooled.reshape([batch, count, hidden])
    }

    /// Logits of the match head, `[batch, tags]`, from pooled vectors, `[batch, tags, hidden]`.
    pub fn tag_logits(&self, pooled: Tensor<3>) -> Tensor<2> {
        self.classifier.forward(pooled).squeeze_dim::<2>(2)
    }
}

/// `[batch, 1, 1, tokens]` as `[batch, tokens]`.
fn flat(mask: Tensor<4>) -> Tensor<2> {
    let [batch, _, _, tokens] = mask.dims();
    mask.reshape([batch, tokens])
}

impl Encoder {
    /// Keys and values of every layer for tokens `[batch, tokens, hidden]` that attend to one another. Of the last layer that
    /// is all: nothing needs what its tokens become.
    fn context(&self, mut hidden: Tensor<3>, mask: Option<Tensor<4>>) -> Vec<KeyValue> {
        let count = self.layer.len();
        let mut answers = Vec::with_capacity(count);
        for (index, layer) in self.layer.iter().enumerate() {
            let own = layer.attention.answering(hidden.clone());
            answers.push(own.clone());
            if index + 1 < count {
                hidden = layer.forward_from(hidden, own, mask.clone());
            }
        }
        answers
    }

    /// The first token of each tag, `[batch, tags, hidden]`, from the tokens of all tags, `[batch, tags * text, hidden]`.
    fn tags(&self, tokens: Tensor<3>, context: &Context, own_mask: Option<Tensor<2>>, shape: Tags) -> Tensor<3> {
        let count = self.layer.len();
        let answers = self.layer.iter().zip(&context.layers).enumerate();
        let masks = Masks { context: context.mask.clone(), own: own_mask };
        answers.fold(tokens, |tokens, (index, (layer, answers))| {
            layer.forward_tags(tokens, answers, &masks, shape, index + 1 == count)
        })
    }
}

/// What is added to the scores: of the context, `[batch, context]`, and of the tags' own tokens, `[batch * tags, text]`.
struct Masks {
    context: Option<Tensor<2>>,
    own: Option<Tensor<2>>,
}

impl Layer {
    /// Tokens of tags, `[batch, tags * text, hidden]`, to the same, or to each tag's first token, `[batch, tags, hidden]`.
    fn forward_tags(
        &self,
        tokens: Tensor<3>,
        context: &KeyValue,
        masks: &Masks,
        shape: Tags,
        first_only: bool,
    ) -> Tensor<3> {
        let own = self.attention.answering(tokens.clone());
        let asking = if first_only { first_tokens(tokens, shape) } else { tokens };
        let query = linear(&self.attention.query, asking.clone());
        let gathered = self.attention.gather_one_way(query, context.clone(), own, masks, shape);
        self.feed_forward(self.attention.finish(gathered, asking))
    }
}

/// `[batch, tags * text, hidden]` to `[batch, tags, hidden]`.
fn first_tokens(tokens: Tensor<3>, Tags { batch, tags, text }: Tags) -> Tensor<3> {
    let [_, _, hidden] = tokens.dims();
    tokens.reshape([batch, tags, text, hidden]).narrow(2, 0, 1).reshape([batch, tags, hidden])
}

impl Attention {
    /// What each query of a tag, `[batch, tags * asking, hidden]`, gathers from the context and from the tag's own tokens, by one
    /// softmax over both.
    ///
    /// Nothing of the context is copied: all queries of a product meet its keys in one product of matrices. Training kernels,
    /// which are faster still, are the exception.
    fn gather_one_way(
        &self,
        query: Tensor<3>,
        context: KeyValue,
        own: KeyValue,
        masks: &Masks,
        shape: Tags,
    ) -> Tensor<3> {
        if self.uses_kernel(&query) {
            return self.gather_by_rows(query, context, own, masks, shape);
        }
        let Tags { batch, tags, text } = shape;
        let [_, queries, width] = query.dims();
        let [_, seen, _] = context.key.dims();
        let (heads, asking) = (self.heads(), queries / tags);
        let head = width / heads;
        let by_tag = |x: Tensor<3>, tokens| x.reshape([batch, tags, tokens, heads, head]);
        let query = by_tag(query, asking).permute([0, 3, 1, 2, 4]);
        let own_key = by_tag(own.key, text).permute([0, 3, 1, 4, 2]);
        let own_value = by_tag(own.value, text).permute([0, 3, 1, 2, 4]);
        let key = context.key.reshape([batch, seen, heads, head]).permute([0, 2, 3, 1]);
        let value = context.value.reshape([batch, seen, heads, head]).permute([0, 2, 1, 3]);

        let scale = (head as f64).sqrt();
        let over_context = single(query.clone().reshape([batch, heads, queries, head]).matmul(key)) / scale;
        let over_context = match &masks.context {
            Some(mask) => over_context + mask.clone().unsqueeze_dims::<4>(&[1, 2]),
            None => over_context,
        };
        let over_own = single(query.matmul(own_key)) / scale;
        let over_own = match &masks.own {
            Some(mask) => over_own + mask.clone().reshape([batch, 1, tags, 1, text]),
            None => over_own,
        };
        let scores = Tensor::cat(vec![over_context, over_own.reshape([batch, heads, queries, text])], 3);
        let probabilities = self.probabilities(scores, value.dtype());
        let of_context = probabilities.clone().narrow(3, 0, seen);
        let of_own = probabilities.narrow(3, seen, text).reshape([batch, heads, tags, asking, text]);
        let gathered = of_context.matmul(value) + of_own.matmul(own_value).reshape([batch, heads, queries, head]);
        gathered.swap_dims(1, 2).reshape([batch, queries, width])
    }

    /// The same with each tag as a row of its own, behind a copy of its context.
    fn gather_by_rows(
        &self,
        query: Tensor<3>,
        context: KeyValue,
        own: KeyValue,
        masks: &Masks,
        Tags { batch, tags, text }: Tags,
    ) -> Tensor<3> {
        let [_, queries, width] = query.dims();
        let [_, seen, _] = context.key.dims();
        let rows = batch * tags;
        let both = |context: Tensor<3>, own: Tensor<3>| {
            let context = context.unsqueeze_dim::<4>(1).expand([batch, tags, seen, width]).reshape([rows, seen, width]);
            Tensor::cat(vec![context, own.reshape([rows, text, width])], 1)
        };
        let mask = (masks.context.is_some() || masks.own.is_some()).then(|| {
            let open = |tokens| Tensor::zeros([rows, tokens], &query.device());
            let of_context = masks
                .context
                .clone()
                .map(|mask| mask.unsqueeze_dim::<3>(1).expand([batch, tags, seen]).reshape([rows, seen]));
            Tensor::cat(
                vec![of_context.unwrap_or_else(|| open(seen)), masks.own.clone().unwrap_or_else(|| open(text))],
                1,
            )
        });
        let (key, value) = (both(context.key, own.key), both(context.value, own.value));
        let query = query.reshape([rows, queries / tags, width]);
        kernels::attention(query, key, value, mask, self.heads()).reshape([batch, queries, width])
    }
}
