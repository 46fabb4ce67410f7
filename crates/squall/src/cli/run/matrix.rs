//! `--matrix NAME=VALUE,VALUE`: each experiment once for each combination of values of variables.

use crate::exit::Failure;
use clap::Args;
use squall_model::experiment::Experiment;
use std::collections::BTreeSet;

/// More combinations than anybody waits for.
const MOST: usize = 1000;

#[derive(Debug, Clone, Default, Args)]
pub(super) struct MatrixOptions {
    /// Carries each experiment out once with each of these values of a variable; given again, once with each combination
    #[arg(long = "matrix", value_name = "NAME=VALUE,VALUE", value_parser = dimension)]
    dimensions: Vec<Dimension>,
}

/// A variable and its values.
#[derive(Debug, Clone)]
struct Dimension {
    name: String,
    values: Vec<String>,
}

/// A value for each variable of the matrix, in the order of the options.
pub(super) type Combination = Vec<(String, String)>;

fn dimension(text: &str) -> Result<Dimension, String> {
    let (name, values) =
        text.split_once('=').ok_or("this is not NAME=VALUE,VALUE, such as delay=100ms,200ms")?;
    let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
    if name.trim().is_empty() || values.iter().any(String::is_empty) {
        return Err("a name or a value is empty; such as delay=100ms,200ms".to_owned());
    }
    if let Some((_, twice)) =
        values.iter().enumerate().find(|(index, value)| values[..*index].contains(value))
    {
        return Err(format!("the value {twice} is given twice"));
    }
    Ok(Dimension { name: name.trim().to_owned(), values })
}

impl MatrixOptions {
    /// Whether there is no matrix.
    pub(super) fn is_empty(&self) -> bool {
        self.dimensions.is_empty()
    }

    /// Refuses variables that have another value by `--var`: one of the two would be passed over in silence.
    pub(super) fn must_not_be(&self, given: &BTreeSet<String>) -> Result<(), Failure> {
        let both = self.dimensions.iter().find(|dimension| given.contains(&dimension.name));
        both.map_or(Ok(()), |Dimension { name, .. }| {
            Err(Failure::invalid(format!("{name} is given by --matrix and by --var; give it by one of them")))
        })
    }

    /// Every combination, the last variable changing fastest; a single empty one where there is no matrix.
    pub(super) fn combinations(&self) -> Result<Vec<Combination>, Failure> {
        let mut combinations: Vec<Combination> = vec![Vec::new()];
        for (index, Dimension { name, values }) in self.dimensions.iter().enumerate() {
            if self.dimensions[..index].iter().any(|other| other.name == *name) {
                return Err(Failure::invalid(format!(
                    "--matrix {name}=… is given twice; give all its values at once"
                )));
            }
            let with_each = |combination: &Combination| {
                let with =
                    |value: &String| [combination.as_slice(), &[(name.clone(), value.clone())]].concat();
                values.iter().map(with).collect::<Vec<_>>()
            };
            combinations = combinations.iter().flat_map(with_each).collect();
            if combinations.len() > MOST {
                return Err(Failure::invalid(format!("this matrix has more than {MOST} combinations")));
            }
        }
        Ok(combinations)
    }
}

/// Names an experiment after its combination: `checkout [delay=100ms]`. What is secret is not part of a name.
pub(super) fn name_after(experiment: &mut Experiment, combination: &Combination) {
    if combination.is_empty() {
        return;
    }
    let secrets = &experiment.secrets;
    let pair = |(name, value): &(String, String)| {
        let shown = if secrets.contains(value) { "…" } else { value };
        format!("{name}={shown}")
    };
    let pairs: Vec<String> = combination.iter().map(pair).collect();
    experiment.name = format!("{} [{}]", experiment.name, pairs.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combinations(texts: &[&str]) -> Result<Vec<String>, String> {
        let dimensions = texts.iter().map(|text| dimension(text)).collect::<Result<_, _>>()?;
        let combinations =
            MatrixOptions { dimensions }.combinations().map_err(|failure| failure.to_string())?;
        let shown = |combination: &Combination| {
            combination.iter().map(|(name, value)| format!("{name}{value}")).collect::<Vec<_>>().concat()
        };
        Ok(combinations.iter().map(shown).collect())
    }

    #[test]
    fn a_variable_has_one_giver() {
        let matrix = MatrixOptions { dimensions: vec![dimension("a=1,2").unwrap()] };
        let given = |name: &str| BTreeSet::from([name.to_owned()]);
        assert!(matrix.must_not_be(&given("b")).is_ok());
        assert!(
            matrix.must_not_be(&given("a")).unwrap_err().to_string().contains("by --matrix and by --var")
        );
    }

    #[test]
    fn every_combination_comes_once() {
        assert_eq!(combinations(&[]).unwrap(), [""]);
        assert_eq!(combinations(&["a=1, 2", "b=x,y"]).unwrap(), ["a1bx", "a1by", "a2bx", "a2by"]);
        for wrong in [vec!["a"], vec!["a="], vec!["=1"], vec!["a=1,,2"], vec!["a=1,1"], vec!["a=1", "a=2"]] {
            assert!(combinations(&wrong).is_err(), "{wrong:?}");
        }
        let many = (0..40).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
        assert!(combinations(&[&format!("a={many}"), &format!("b={many}")]).unwrap_err().contains("1000"));
    }
}
