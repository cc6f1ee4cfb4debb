use super::*;
use fabric::testing;

const DATA: &str = include_str!("../../data/nyc-weather-2013.csv");

fn summary(text: &str, params: &Params) -> Summary {
    summarise(Input::from_bytes(text), params.clone()).unwrap()
}

#[test]
fn decimals_are_exact_and_read_back() {
    for (text, shown) in [
        ("0", "0"),
        ("-1.50", "-1.5"),
        ("1e3", "1000"),
        ("10.357019999999999", "10.357019999999999"),
        ("2.5e-3", "0.0025"),
    ] {
        assert_eq!(text.parse::<Decimal>().unwrap().to_string(), shown);
    }
    for wrong in ["", "-", "1,5", "0x1", "1e-19", "1e40", "inf", "1e", "½"] {
        assert!(wrong.parse::<Decimal>().is_err(), "{wrong}");
    }
    let mut sum: Decimal = "0.1".parse().unwrap();
    sum += "0.2".parse().unwrap();
    assert_eq!(sum, "0.3".parse().unwrap());
    assert_eq!("-0.00005".parse::<Decimal>().unwrap().mean(1), -0.0001);
    assert_eq!("2".parse::<Decimal>().unwrap().mean(3), 0.6667);
}

#[test]
fn the_real_data_agrees_with_plain_floating_point() {
    let summary = summary(DATA, &Params::default());
    assert_eq!(summary.rows, 26_115);
    assert_eq!(summary.stations.len(), 3);
    assert!(summary.stations.values().all(|months| months.len() == 12));
    let header: Vec<&str> = DATA.lines().next().unwrap().split(',').collect();
    for name in MEASURES {
        let column = header.iter().position(|held| *held == name).unwrap();
        let values: Vec<f64> = DATA
            .lines()
            .map(|line| line.split(',').collect::<Vec<_>>())
            .filter(|row| row[0] == "JFK" && row[2] == "7")
            .filter_map(|row| row[column].parse().ok())
            .collect();
        let measure = &summary.stations["JFK"]["2013-07"][name];
        assert_eq!(measure.count, values.len() as u64, "{name}");
        assert!((measure.mean - values.iter().sum::<f64>() / values.len() as f64).abs() < 1e-4, "{name}");
        assert_eq!(measure.min, values.iter().copied().fold(f64::INFINITY, f64::min), "{name}");
        assert_eq!(measure.max, values.iter().copied().fold(f64::NEG_INFINITY, f64::max), "{name}");
    }
}

#[test]
fn any_partitioning_and_grouping_gives_the_same_bytes() {
    let (header, rows) = DATA.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    let whole = testing::map(|i| summarise(i, Params::default()), DATA).unwrap().output;
    let mut results = vec![];
    for parts in [1, 2, 7, 26] {
        let partials: Vec<Vec<u8>> = rows
            .chunks(rows.len().div_ceil(parts))
            .map(|part| format!("{header}\n{}\n", part.join("\n")))
            .map(|text| testing::map(|i| summarise(i, Params::default()), text).unwrap().output)
            .collect();
        let merge = |a, b| Ok(merge(a, b));
        results.push(testing::reduce(merge, &partials).unwrap().output);
        // A tree: each half separately, then both.
        let (left, right) = partials.split_at(partials.len() / 2);
        let halves: Vec<_> = [left, right]
            .into_iter()
            .filter(|half| !half.is_empty())
            .map(|half| testing::reduce(merge, half).unwrap().output)
            .collect();
        results.push(testing::reduce(merge, halves).unwrap().output);
    }
    for result in results {
        assert_eq!(String::from_utf8(result).unwrap(), String::from_utf8(whole.clone()).unwrap());
    }
}

#[test]
fn blocks_are_means_of_consecutive_rows_and_end_with_a_shorter_one() {
    let text = "origin,year,month,temp,dewp,humid,wind_speed,precip,pressure,visib\n\
        A,2013,1,1,NA,,1,0,1e3,10\nB,2013,1,2,NA,,1,0,1e3,10\nA,2013,2,6,NA,,1,0,1e3,10\n";
    let params = Params { blocks: true, block_rows: 2 };
    let summary = summary(text, &params);
    let shown: Vec<_> = summary.blocks.iter().map(|b| (b.block, b.rows, b.means["temp"])).collect();
    assert_eq!(shown, [(0, 2, 1.5), (1, 1, 6.0)]);
    assert_eq!(summary.blocks[0].means.get("dewp"), None, "no reading, no mean");
    assert_eq!(summary.blocks[0].means["pressure"], 1000.0);
    assert_eq!(summary.stations["A"]["2013-02"]["temp"].count, 1);
    assert!(!summary.stations["A"]["2013-01"].contains_key("dewp"));
    let wrong = summarise(Input::from_bytes(text), Params { blocks: true, block_rows: 0 }).unwrap_err();
    assert_eq!(wrong.kind(), fabric::ErrorKind::InvalidInput);
}

#[test]
fn a_broken_row_is_bad_input_and_is_named() {
    let text = "origin,year,month,temp,dewp,humid,wind_speed,precip,pressure,visib\nA,2013,1,warm,,,,,,\n";
    let error = summarise(Input::from_bytes(text), Params::default()).unwrap_err();
    assert!(error.message().contains("row 1 of the partition") && error.message().contains("warm"), "{error}");
}

#[test]
fn nothing_to_read_is_an_empty_summary() {
    let empty = summary("origin,year,month,temp,dewp,humid,wind_speed,precip,pressure,visib\n", &Params::default());
    assert_eq!(empty, Summary::default());
}
