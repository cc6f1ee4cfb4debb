//! Measures the node's GPU from inside the sandbox. The input is [`Sizes`], the result a list of [`Row`]s.

mod measure;

use anyhow::Context as _;
use fabric::gpu::{Bind, Buffer, Pipeline, Submit};
use fabric::{Error, Json, Result};
use measure::{Row, Sizes, Step, Way};

/// Access through the SDK: `fabric::gpu`.
#[derive(Default)]
struct Guest {
    buffers: Vec<Buffer<u32>>,
    pipelines: Vec<Pipeline>,
}

impl Guest {
    fn at(&self, buffer: usize) -> anyhow::Result<&Buffer<u32>> {
        self.buffers.get(buffer).context("no such buffer")
    }
}

impl Way for Guest {
    type Data = Vec<u32>;

    fn data(words: impl Iterator<Item = u32>) -> Vec<u32> {
        words.collect()
    }

    async fn buffer(&mut self, bytes: u64) -> anyhow::Result<usize> {
        self.buffers.push(Buffer::new(usize::try_from(bytes / 4)?)?);
        Ok(self.buffers.len() - 1)
    }

    async fn write(&mut self, buffer: usize, data: &Vec<u32>) -> anyhow::Result<()> {
        Ok(self.at(buffer)?.write(0, data)?)
    }

    async fn read(&mut self, buffer: usize) -> anyhow::Result<Vec<u32>> {
        Ok(self.at(buffer)?.read()?)
    }

    async fn pipeline(&mut self, wgsl: &str, entry: &str) -> anyhow::Result<usize> {
        self.pipelines.push(Pipeline::compile(wgsl, entry, &[])?);
        Ok(self.pipelines.len() - 1)
    }

    async fn submit(&mut self, steps: &[Step], read: Option<(usize, u64)>) -> anyhow::Result<Vec<u32>> {
        let mut submit = Submit::new();
        for step in steps {
            submit = match step {
                Step::Run { pipeline, buffers, workgroups } => {
                    let pipeline = self.pipelines.get(*pipeline).context("no such pipeline")?;
                    let bind = |buffer: &usize| self.at(*buffer).map(|buffer| buffer as &dyn Bind);
                    let buffers = buffers.iter().map(bind).collect::<anyhow::Result<Vec<_>>>()?;
                    submit.dispatch(pipeline, &buffers, *workgroups)
                }
                Step::Copy { from, to } => submit.copy(self.at(*from)?, self.at(*to)?),
            };
        }
        let Some((buffer, bytes)) = read else {
            submit.run()?;
            return Ok(Vec::new());
        };
        let words = usize::try_from(bytes / 4)?;
        Ok(submit.read(self.at(buffer)?.slice(..words)).run()?.values(0)?)
    }

    async fn free(&mut self) -> anyhow::Result<()> {
        self.buffers.clear();
        Ok(())
    }
}

/// Runs all measurements of these sizes.
#[fabric::map]
fn bench(Json(sizes): Json<Sizes>) -> Result<Vec<Row>> {
    let rows = measure::now(measure::all(&mut Guest::default(), &sizes)).context("a call of the GPU did not return");
    rows.flatten().map_err(|error| Error::failed(format!("{error:#}")))
}
